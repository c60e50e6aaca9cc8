package main

var wizardTexts = []errorText{}
