// Package lukstest holds what tests of package luks need and the shipped binary
// must not contain: disks in memory that record, refuse and lose writes, and an
// independent judge of a volume's data.
package lukstest
