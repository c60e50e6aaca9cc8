package main

func bootCommand() *command {
	return &command{name: "boot", short: "/boot: hash, sign, verify, entries"}
}
