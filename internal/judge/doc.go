// Package judge decides, from what was measured, what a laptop is in, who it is from, what may be
// done to it and what may be said of it. It is the only place that decides; it reads and writes
// nothing, and has no clock.
//
// Facts go through four stages, each small enough to be tried whole: History gives a Phase, Who an
// Identity, Work a Progress, and the three together the Acts that are allowed. Two laws hold in
// each stage: a fact that is replaced by "could not be measured" never allows more, and a file in
// /boot that somebody changes never allows more.
//
// The zero value of every fact is "could not be measured", so that one that somebody forgot is
// never taken for fine. Reasons are closed kinds and no prose: a caller puts them into words.
//
// What this package does not do: it compares nothing and verifies no signature. Somebody who collects
// Facts must give a value only for what was measured in this start, on the bytes that are then used.
package judge
