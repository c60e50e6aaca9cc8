package main

var luksTexts = []errorText{}
