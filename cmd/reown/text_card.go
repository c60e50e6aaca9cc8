package main

var cardTexts = []errorText{}
