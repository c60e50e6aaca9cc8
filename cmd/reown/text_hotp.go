package main

var hotpTexts = []errorText{}
