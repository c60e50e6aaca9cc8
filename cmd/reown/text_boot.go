package main

var bootTexts = []errorText{}
