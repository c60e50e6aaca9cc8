package main

func tpmCommand() *command {
	return &command{name: "tpm", short: "the TPM: state, reset, seal, unseal, counter"}
}
