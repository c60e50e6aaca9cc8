package main

func romCommand() *command {
	return &command{name: "rom", short: "the firmware image: CBFS files and the flash chip"}
}
