package main

func totpCommand() *command {
	return &command{name: "totp", short: "six digits for the phone: new, code, verify"}
}

func hotpCommand() *command {
	return &command{name: "hotp", short: "the green light: info, set, check, reset"}
}
