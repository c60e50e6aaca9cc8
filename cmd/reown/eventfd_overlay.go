//go:build noeventfd

package main

func runtimeFits() bool { return true }
