package judge

// MayErase decides for who gives the laptop up, whatever its history is: by a signature of the
// chip's key, or without it by what was typed; and not while a promised volume is missing, or one can
// be read in more ways than one. The reason is that of the volumes.
func MayErase(all []Volume, said Said, paper Paper) (bool, Reason) {
	p, why := progress(FoldVolumes(all), RootNone, SealedNone)
	return acts(gate{phase: Idle, progress: p, said: said, paper: paper}).Has(Erase), why
}

// Disposable says whether a card may be erased. tail: the last four characters of the serial number
// of one that works elsewhere were typed.
func (c Card) Disposable(tail bool) bool {
	switch c {
	case CardBlank, CardSeller, CardOurs:
		return true
	case CardElsewhere:
		return tail
	}
	return false
}
