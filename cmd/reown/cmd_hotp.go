package main

func hotpCommand() *command {
	return &command{name: "hotp", short: "the green light: info, set, check, reset"}
}
