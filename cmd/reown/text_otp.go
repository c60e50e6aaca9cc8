package main

var otpTexts = []errorText{}
