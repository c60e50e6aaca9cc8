package main

var romTexts = []errorText{}
