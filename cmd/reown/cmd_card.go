package main

func cardCommand() *command {
	return &command{name: "card", short: "the OpenPGP card: state, reset, keys, PINs, signatures"}
}
