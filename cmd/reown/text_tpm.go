package main

var tpmTexts = []errorText{}
