package main

func totpCommand() *command {
	return &command{name: "totp", short: "six digits for the phone: new, code, verify"}
}
