package main

func luksCommand() *command {
	return &command{name: "luks", short: "LUKS headers, keyslots and re-encryption"}
}
