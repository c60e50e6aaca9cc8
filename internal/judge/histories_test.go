package judge

import "testing"

func set(list ...Act) (a Acts) {
	for _, x := range list {
		a |= 1 << x
	}
	return a
}

// change returns changed facts; what they share is not written to.
func change(f Facts, by ...func(*Facts)) Facts {
	for _, b := range by {
		b(&f)
	}
	return f
}

// The laptop of an order of today, when it is unpacked, and the same at later moments.
func delivered() Facts {
	return Facts{
		History: History{Trigger: TriggerCovered, Ring: RingSeller, Anchor: AnchorAbsent, Count: CountOtherKey,
			Receipt: ReceiptNone, Certificate: DocumentNone, Stage: StageNone},
		Who: Who{Statement: StatementRing, Comparison: ComparisonEqual, Digits: DigitsMatch, Tree: TreeSigned,
			Paper: PaperNone, Said: Said{Looked: true}},
		Work: Work{Volumes: []Volume{VolumeSeller}, Root: RootSeller, Sealed: SealedNone}, Card: CardSeller,
	}
}

func begun() Facts {
	return change(delivered(), func(f *Facts) {
		f.Receipt, f.Count, f.Card, f.Paper = ReceiptHere, CountWithin, CardOurs, PaperOwn
	})
}

// restarted is a run that an earlier start began: nobody has said or typed anything yet.
func restarted(f Facts) Facts {
	f.Said, f.Paper = Said{}, PaperUnknown
	if f.Receipt == ReceiptHere {
		f.Receipt = ReceiptOpen
	}
	return f
}

func afterDisk() Facts {
	return change(begun(), func(f *Facts) { f.Volumes = []Volume{VolumeOurs} })
}

func afterTPM() Facts {
	return change(afterDisk(), func(f *Facts) { f.Root, f.Anchor, f.Digits = RootOurs, AnchorOpen, DigitsGone })
}

func staged() Facts {
	return change(afterTPM(), func(f *Facts) { f.Sealed, f.Stage = SealedOurs, StageOurs })
}

func flashed() Facts { return change(staged(), func(f *Facts) { f.Ring = RingOwner }) }

func finished() Facts {
	return change(flashed(), func(f *Facts) {
		f.Trigger, f.Anchor, f.Receipt, f.Certificate, f.Stage = TriggerAbsent, AnchorClosed, ReceiptNone, DocumentOurs,
			StageNone
		f.Said, f.Paper = Said{}, PaperUnknown
	})
}

func noTPM(f Facts) Facts {
	f.Anchor, f.Root, f.Sealed = AnchorNoTPM, RootNone, SealedNone
	f.Digits = DigitsNone
	return f
}

func order2019() Facts {
	return change(delivered(), func(f *Facts) {
		f.Trigger, f.Ring, f.Statement, f.Comparison, f.Digits = TriggerAdded, RingOther, StatementNone,
			ComparisonNotProvided, DigitsNotProvided
		f.Said = Said{}
	})
}

func typed(f *Facts) { f.Said.Signer, f.Said.Serial = Same, true }
func paper(f *Facts) { f.Paper = PaperOwn }
func added(f *Facts) { f.Trigger = TriggerAdded }

// nothingChanges is what a verdict may allow where nobody entitled to asks.
var nothingChanges = set(RemoveTrigger, EndRun)

// honest are the histories without an attack. Each ends without a red page, and allows what it owes.
var honest = []struct {
	name  string
	facts Facts
	phase Phase
	level Level // at most
	may   Acts  // at least
}{
	{"delivered", delivered(), Delivered, Plain, set(ResetCard)},
	{"delivered, nobody has looked yet", restarted(delivered()), Delivered, Plain, 0},
	{"delivered without a TPM", noTPM(delivered()), Delivered, Plain, set(ResetCard)},
	{"delivered with a card that is not plugged in yet",
		change(restarted(delivered()), func(f *Facts) { f.Card, f.Count = CardNone, CountNoCard }), Delivered, Plain, 0},
	{"delivered, hand-over file deleted or never made, seller's fingerprint known",
		change(delivered(), typed, func(f *Facts) {
			f.Statement, f.Comparison, f.Digits = StatementNone, ComparisonNotProvided, DigitsNotProvided
		}), Delivered, Yellow, set(ResetCard)},
	{"an older statement, which does not tell of digits",
		change(delivered(), typed, func(f *Facts) { f.Digits = DigitsNotProvided }), Delivered, Yellow, set(ResetCard)},
	{"a consultant in between", change(delivered(), func(f *Facts) { f.Statement, f.Said.Signer = StatementChain, Same }),
		Delivered, Plain, set(ResetCard)},
	{"the order of 2019", order2019(), Unexplained, Yellow, 0},
	{"the order of 2019, fingerprint typed", change(order2019(), typed), Unexplained, Yellow, set(ResetCard)},
	{"the order of 2019, run begun in this start",
		change(order2019(), typed, func(f *Facts) { f.Receipt, f.Count, f.Card = ReceiptHere, CountWithin, CardOurs }), Begun,
		Yellow,
		set(SetPassphrase, Reencrypt, ClearTPM, SignTree, SignReceipt)},
	{"the order of 2019, cut, seen again", change(restarted(change(order2019(),
		func(f *Facts) { f.Receipt, f.Count, f.Card = ReceiptOpen, CountWithin, CardOurs })), typed),
		Unexplained, Yellow, set(ResetCard)},
	{"the order of 2019, cut after the TPM, and the paper", change(restarted(change(order2019(), func(f *Facts) {
		f.Receipt, f.Count, f.Card, f.Anchor, f.Root, f.Volumes, f.Digits = ReceiptOpen, CountWithin, CardOurs, AnchorOpen,
			RootOurs, []Volume{VolumeOurs}, DigitsGone
	})), paper), Begun, Yellow, set(SignTree, Seal)},
	{"an old anchor of a laptop that was sold on", change(delivered(), func(f *Facts) { f.Anchor = AnchorForeign }),
		Delivered, Plain, set(ResetCard)},

	{"begun in this start", begun(), Begun, Plain, set(SetPassphrase, Reencrypt, ClearTPM, Seal, SignReceipt, SignTree)},
	{"cut after the card", restarted(begun()), Begun, Plain, 0},
	{"cut after the card, looked at again",
		change(restarted(begun()), func(f *Facts) { f.Paper, f.Said.Looked = PaperNone, true }), Begun, Plain,
		set(SetPassphrase, ClearTPM)},
	{"cut in the disk", restarted(change(begun(), func(f *Facts) { f.Volumes = []Volume{VolumeUnderWay} })), Begun, Plain,
		0},
	{"cut in the disk, and the paper", change(restarted(change(begun(),
		func(f *Facts) { f.Volumes = []Volume{VolumeUnderWay} })), paper), Begun, Plain, set(Reencrypt)},
	{"cut in the disk of a laptop without a TPM",
		change(restarted(noTPM(change(begun(), func(f *Facts) { f.Volumes = []Volume{VolumeUnderWay} }))), paper), Begun,
		Plain, set(Reencrypt)},
	{"one disk of two", change(restarted(change(begun(), func(f *Facts) { f.Volumes = []Volume{VolumeOurs, VolumeSet} })),
		paper), Begun, Plain, set(Reencrypt)},
	{"cut between TPM2_Clear and the area",
		change(restarted(change(afterDisk(), func(f *Facts) { f.Root, f.Digits = RootCleared, DigitsGone })), paper), Begun,
		Plain, set(ClearTPM)},
	{"cut after the TPM", change(restarted(afterTPM()), paper), Begun, Plain, set(Seal, SignTree)},
	{"cut after the stage", change(restarted(staged()), paper), Begun, Plain, set(WriteChip)},
	{"cut, and /boot/oem deleted", change(restarted(staged()), paper, func(f *Facts) { f.Trigger = TriggerAbsent }), Begun,
		Plain, set(WriteChip)},
	{"cut, and the card not plugged in", change(restarted(staged()),
		func(f *Facts) { f.Count, f.Card = CountNoCard, CardNone }), Begun, Plain, 0},
	{"cut in the disk without a TPM, and the card not plugged in",
		change(restarted(noTPM(begun())), func(f *Facts) { f.Count, f.Card = CountNoCard, CardNone }), Unknown, Plain, 0},
	{"a card that does not count, cut in the disk, begun anew",
		change(restarted(begun()), func(f *Facts) { f.Count, f.Said.Looked = CountNone, true }), Delivered, Yellow,
		set(ResetCard)},
	{"a card that does not count, cut after the TPM",
		change(restarted(afterTPM()), paper, func(f *Facts) { f.Count = CountNone }), Begun, Plain, set(Seal, SignTree)},
	{"sealing only after a restart", change(restarted(staged()), paper, func(f *Facts) { f.Sealed = SealedLater }), Begun,
		Plain, set(WriteChip)},
	{"half a chip", change(restarted(change(staged(), func(f *Facts) { f.Ring = RingHalf })), paper), Flashing, Plain,
		set(WriteChip)},
	{"half a chip without a TPM", change(restarted(noTPM(change(staged(), func(f *Facts) { f.Ring = RingHalf }))), paper),
		Flashing, Plain, set(WriteChip)},
	{"half a chip, a card that does not count, no TPM",
		change(restarted(noTPM(change(staged(), func(f *Facts) { f.Ring, f.Count = RingHalf, CountNone }))), paper), Flashing,
		Plain, set(WriteChip)},
	{"cut between chip and /boot", restarted(flashed()), Owned, Plain, 0},
	{"cut between chip and /boot, and the paper", change(restarted(flashed()), paper), Owned, Plain,
		set(Install, Certify, EndRun, SignReceipt)},
	{"the same without a TPM", change(restarted(noTPM(flashed())), paper), Owned, Plain, set(Install, Certify, EndRun)},
	{"the same without a TPM and without a card",
		change(restarted(noTPM(flashed())), func(f *Facts) { f.Count, f.Card = CountNoCard, CardNone }), Unknown, Plain, 0},
	{"nothing on paper: no disk and no TPM", change(restarted(noTPM(flashed())), func(f *Facts) {
		f.Volumes, f.Paper, f.Said.PIN = []Volume{NoVolume}, PaperNone, Same
	}), Owned, Plain, set(Install, Certify)},
	{"sealed after the restart", change(restarted(flashed()), paper,
		func(f *Facts) { f.Stage, f.Sealed = StageNone, SealedNone }), Owned, Plain, set(Seal, SignSame)},
	{"the last second was cut", change(restarted(flashed()),
		func(f *Facts) { f.Anchor, f.Receipt = AnchorClosing, ReceiptClosing }), Closing, Yellow, set(EndRun)},
	{"the last second was cut, oem still there",
		change(restarted(flashed()), added, func(f *Facts) { f.Anchor, f.Receipt = AnchorClosing, ReceiptClosing }), Closing,
		Yellow, set(EndRun, RemoveTrigger)},
	{"cut between the last receipt and the TPM",
		change(restarted(flashed()), added, func(f *Facts) { f.Receipt = ReceiptClosing }), Closing, Yellow,
		set(EndRun, RemoveTrigger)},
	{"the same, and the card not plugged in",
		change(restarted(flashed()), added, func(f *Facts) {
			f.Receipt, f.Count, f.Card = ReceiptClosing, CountNoCard,
				CardNone
		}), Unknown, Plain, 0},
	{"the last second was cut without a TPM",
		change(restarted(noTPM(flashed())), added, func(f *Facts) { f.Receipt = ReceiptClosing }), Closing, Yellow,
		set(EndRun, RemoveTrigger)},
	{"finished", finished(), Finished, Quiet, 0},
	{"finished, no TPM", noTPM(finished()), Finished, Quiet, 0},
	{"finished, TPM reset by Heads", change(finished(), func(f *Facts) { f.Anchor, f.Root = AnchorAbsent, RootOther }),
		Finished, Quiet, 0},
	{"finished, key replaced by Heads", change(finished(),
		func(f *Facts) { f.Ring, f.Certificate = RingOther, DocumentForeign }), Finished, Quiet, 0},
	{"finished, key replaced and TPM reset by Heads",
		change(finished(), func(f *Facts) { f.Ring, f.Anchor, f.Root = RingOther, AnchorAbsent, RootOther }), Idle, Quiet, 0},
	{"finished, another key added by Heads", change(finished(), func(f *Facts) { f.Ring = RingSeveral }), Finished, Quiet,
		0},
	{"finished, files changed by an update, not signed yet", change(finished(), func(f *Facts) { f.Tree = TreeDiffers }),
		Finished, Quiet, 0},
	{"finished, token replaced", change(finished(), func(f *Facts) { f.Card, f.Count = CardElsewhere, CountOtherKey }),
		Finished, Quiet, 0},
	{"finished, passphrase changed by Heads", change(finished(), func(f *Facts) { f.Volumes = []Volume{VolumeOther} }),
		Finished, Quiet, 0},
	{"finished, TPM cannot be read", change(finished(), func(f *Facts) { f.Anchor, f.Root = AnchorUnknown, RootUnknown }),
		Unknown, Quiet, 0},
	{"finished, then sold with a new statement of his own",
		change(delivered(), func(f *Facts) { f.Certificate = DocumentOurs }), Delivered, Plain, set(ResetCard)},
	{"a laptop without any of this", change(order2019(), func(f *Facts) { f.Trigger = TriggerAbsent }), Idle, Quiet, 0},
	{"lost key, its command, and the disk passphrase",
		change(finished(), paper, func(f *Facts) { f.Said.LostKey, f.Card = true, CardBlank }), Finished, Plain,
		set(ResetCard)},
	{"lost key, begun in this start", change(finished(), paper, func(f *Facts) {
		f.Said.LostKey, f.Ring, f.Receipt, f.Count, f.Card, f.Root, f.Volumes, f.Stage = true, RingOther, ReceiptHere,
			CountWithin, CardOurs, RootSeller, []Volume{VolumeSeller}, StageNone
	}), Begun, Yellow, set(SetPassphrase, Reencrypt, ClearTPM, SignTree)},
	{"released, cut before the TPM was cleared", change(finished(), func(f *Facts) {
		f.Receipt, f.Count, f.Said = ReceiptReleasing, CountWithin, Said{Release: true, PIN: Same}
	}), Finished, Plain, set(Erase)},
	{"released, cut after TPM and disk", change(finished(), func(f *Facts) {
		f.Anchor, f.Root, f.Receipt, f.Count, f.Said, f.Volumes = AnchorAbsent, RootCleared, ReceiptReleasing, CountWithin,
			Said{Release: true, PIN: Same}, []Volume{VolumeOther}
	}), Releasing, Yellow, set(Erase)},
	{"release of a finished laptop", change(finished(), func(f *Facts) { f.Said = Said{Release: true, PIN: Same} }),
		Finished, Plain, set(Erase)},
}

func TestHonestHistories(t *testing.T) {
	for _, c := range honest {
		t.Run(c.name, func(t *testing.T) {
			v := Judge(c.facts)
			if v.Phase != c.phase {
				t.Errorf("phase %v, want %v: %v", v.Phase, c.phase, v.Reasons)
			}
			if v.Level > c.level || v.Level == Red {
				t.Errorf("level %v, at most %v: %v", v.Level, c.level, v.Reasons)
			}
			if c.may&^v.Acts != 0 {
				t.Errorf("allows %v, and must %v: %v", v.Acts, c.may, v.Reasons)
			}
			if c.may == 0 && v.Acts&^nothingChanges != 0 {
				t.Errorf("allows %v before anybody is known", v.Acts)
			}
			// Somebody who owes something and may not do it yet is asked for what is missing.
			if c.may == 0 && !v.Silent && v.Phase != Closing && len(v.Asks) == 0 {
				t.Errorf("asks for nothing: %v", v.Reasons)
			}
		})
	}
}

// attacks are the acts that an earlier program accepted, and others of their kind, as the facts
// that they leave. None allows more than to take the file away.
var attacks = []struct {
	name  string
	facts Facts
	not   Acts // what must not be allowed; 0: anything but to take away and close
	level Level
	keep  Phase // if not Unknown, the phase
}{
	{"the whole /boot of another laptop by the same seller",
		change(delivered(), func(f *Facts) { f.Tree = TreeElsewhere }), 0, Red, Unknown},
	{"the same, while a run waits", change(begun(), func(f *Facts) { f.Tree = TreeElsewhere }), set(SignTree, WriteChip),
		Red, Unknown},
	{"the key lost, and an older list put back",
		change(finished(), paper, func(f *Facts) { f.Said.LostKey, f.Tree, f.Card = true, TreeElsewhere, CardBlank }), 0,
		Quiet, Finished},
	{"a kexec folder with an entry", change(delivered(), func(f *Facts) { f.Tree = TreeDiffers }), 0, Red, Unknown},
	{"grub.cfg is a link out of the walk", change(begun(), func(f *Facts) { f.Tree = TreeDiffers }),
		set(SignTree, WriteChip), Red, Unknown},
	{"the first LUKS magic is zero: no disk", change(delivered(), func(f *Facts) { f.Volumes = []Volume{VolumeMissing} }),
		0, Red, Unknown},
	{"no disk was found, and nobody says that none was promised", change(delivered(), func(f *Facts) { f.Volumes = nil }),
		0, Yellow, Unknown},
	{"a promised disk is missing beside one that is there",
		change(delivered(), func(f *Facts) { f.Volumes = []Volume{VolumeSeller, VolumeMissing} }), 0, Red, Unknown},
	{"a stale signature beside a partition table",
		change(delivered(), func(f *Facts) { f.Volumes = []Volume{VolumeAmbiguous} }), 0, Yellow, Unknown},
	{"--tpm none, and the statement has an EK",
		change(delivered(), func(f *Facts) { f.Comparison, f.Digits, f.Root = ComparisonDiffers, DigitsWrong, RootNone }), 0,
		Red, Unknown},
	{"the TPM cannot be read", change(delivered(),
		func(f *Facts) { f.Anchor, f.Root, f.Digits = AnchorUnknown, RootUnknown, DigitsUnknown }), 0, Yellow, Unknown},
	{"a re-encryption flag in the header", change(restarted(delivered()),
		func(f *Facts) { f.Volumes = []Volume{VolumeFlagged} }), 0, Red, Delivered},
	{"the flag in an open run, and the paper",
		change(restarted(begun()), paper, func(f *Facts) { f.Volumes = []Volume{VolumeFlagged} }), 0, Red, Begun},
	{"the digest re-salted over the old key",
		change(restarted(begun()), paper, func(f *Facts) { f.Volumes = []Volume{VolumeOther} }), 0, Red, Begun},
	{"the seller's header put back in mid-run",
		change(restarted(afterTPM()), paper, func(f *Facts) { f.Volumes = []Volume{VolumeRegressed} }), 0, Red, Begun},
	{"finished: oem added", change(finished(), added), 0, Red, Tampered},
	{"finished: oem added, certificate removed",
		change(finished(), added, func(f *Facts) { f.Certificate = DocumentNone }), 0, Red, Tampered},
	{"finished: oem added, an old receipt put back", change(finished(), added, func(f *Facts) {
		f.Certificate, f.Receipt, f.Count, f.Stage = DocumentNone, ReceiptOpen, CountBeyond, StageOurs
	}), 0, Red, Tampered},
	{"the same, and a card that does not count",
		change(finished(), added, func(f *Facts) { f.Receipt, f.Count = ReceiptOpen, CountNone }), 0, Red, Tampered},
	{"the same without a TPM", change(noTPM(finished()), added,
		func(f *Facts) { f.Receipt, f.Count = ReceiptOpen, CountBeyond }), 0, Red, Tampered},
	{"the same, and the paper", change(finished(), added, paper,
		func(f *Facts) { f.Receipt, f.Count = ReceiptOpen, CountBeyond }), 0, Red, Tampered},
	{"finished: all our files taken away", change(finished(), added,
		func(f *Facts) { f.Ring, f.Certificate = RingOther, DocumentNone }), 0, Red, Tampered},
	{"finished: oem and other files", change(finished(), added, func(f *Facts) { f.Tree = TreeDiffers }), 0, Red,
		Tampered},
	{"finished, TPM cleared in the recovery shell: old receipt", change(finished(), added, func(f *Facts) {
		f.Anchor, f.Root, f.Receipt, f.Count = AnchorGone, RootOther, ReceiptOpen, CountBeyond
	}), 0, Red, Tampered},
	{"finished, TPM cleared and an area of the shell's", change(finished(), added, func(f *Facts) {
		f.Anchor, f.Root, f.Receipt, f.Count = AnchorForeign, RootOther, ReceiptOpen, CountBeyond
	}), 0, Red, Tampered},
	{"closing put back afterwards", change(finished(), added,
		func(f *Facts) { f.Receipt, f.Count = ReceiptClosing, CountBeyond }), 0, Red, Tampered},
	{"a staged set put back after closing", change(finished(), added, func(f *Facts) { f.Stage = StageOurs }), 0, Red,
		Tampered},
	{"token reset, own keys, a receipt from the public statement",
		change(restarted(begun()), func(f *Facts) { f.Paper = PaperSeller }), 0, Yellow, Begun},
	{"the same on a laptop of the second buyer, no TPM", change(order2019(), paper, func(f *Facts) {
		f.Anchor, f.Receipt, f.Count, f.Root = AnchorNoTPM, ReceiptOpen, CountWithin, RootNone
	}), 0, Yellow, Unexplained},
	{"the seller's passphrase at \"continue\", and all pages",
		change(restarted(begun()), func(f *Facts) { f.Paper, f.Said.Looked = PaperSeller, true }), ^set(ResetCard), Plain,
		Begun},
	{"the exchanged key takes any PIN", change(restarted(begun()), func(f *Facts) { f.Said.PIN = Same }), 0, Plain, Begun},
	{"a receipt of another laptop of the same buyer",
		change(finished(), added, func(f *Facts) { f.Receipt = ReceiptForeign }), 0, Red, Tampered},
	{"a receipt of an older version", change(finished(), added, func(f *Facts) { f.Receipt = ReceiptBroken }), 0, Red,
		Tampered},
	{"--signer names another, in an open run",
		change(restarted(begun()), paper, func(f *Facts) { f.Said.Signer = Different }), 0, Red, Begun},
	{"--me names another, in an open run", change(restarted(begun()), paper, func(f *Facts) { f.Said.Me = Different }), 0,
		Red, Begun},
	{"--signer names another at delivery", change(delivered(), func(f *Facts) { f.Said.Signer = Different }), 0, Red,
		Delivered},
	{"no digits, and they were promised", change(delivered(), func(f *Facts) { f.Digits = DigitsWrong }), 0, Red,
		Delivered},
	{"a statement without a promise of digits put in the place of one with it",
		change(delivered(), func(f *Facts) { f.Digits = DigitsNotProvided }), 0, Yellow, Delivered},
	{"readings that were not protected", change(delivered(), func(f *Facts) { f.Comparison = ComparisonUnknown }), 0,
		Yellow, Delivered},
	{"four words in the place of the fingerprint, for a key that came with the files",
		change(delivered(), func(f *Facts) { f.Statement = StatementChain }), 0, Plain, Delivered},
	{"an Enter typed ahead", change(restarted(delivered()), func(f *Facts) {}), 0, Plain, Delivered},
	{"the statement of another machine", change(delivered(), func(f *Facts) { f.Statement = StatementBad }), 0, Red,
		Delivered},
	{"the card of the shop, which is to sign later", change(delivered(), func(f *Facts) { f.Card = CardSigner }), 0,
		Yellow, Delivered},
	{"a card that works for another machine", change(delivered(), func(f *Facts) { f.Card = CardElsewhere }), 0, Yellow,
		Delivered},
	{"a card that cannot be read", change(delivered(), func(f *Facts) { f.Card = CardUnknown }), 0, Plain, Delivered},
	{"two keys in the chip, and nobody says whose", change(order2019(), func(f *Facts) { f.Ring = RingSeveral }), 0, Red,
		Unexplained},
	{"no key in the chip", change(order2019(), func(f *Facts) { f.Ring = RingNone }), 0, Yellow, Unexplained},
	{"a file that the owner's key has signed, and nobody with the card",
		change(finished(), typed, func(f *Facts) { f.Trigger = TriggerCovered }), 0, Yellow, Tampered},
	{"oem is a link", change(order2019(), typed, func(f *Facts) { f.Trigger = TriggerOdd }), 0, Red, Tampered},
	{"release by a stranger's card", change(finished(), func(f *Facts) { f.Said = Said{Release: true, PIN: Different} }),
		0, Plain, Finished},
	{"release, and the disk cannot be found",
		change(finished(), func(f *Facts) { f.Said, f.Volumes = Said{Release: true, PIN: Same}, []Volume{VolumeMissing} }), 0,
		Red, Finished},
	{"release, with a record that a stranger wrote",
		change(finished(), func(f *Facts) { f.Receipt, f.Count, f.Said.Release = ReceiptReleasing, CountOtherKey, true }), 0,
		Plain, Finished},
	{"a half-written chip that no run explains", change(finished(), added, func(f *Facts) { f.Ring = RingHalf }), 0, Red,
		Unknown},
	{"half a chip and a receipt that is not the newest",
		change(restarted(staged()), paper, func(f *Facts) { f.Ring, f.Count = RingHalf, CountBeyond }), 0, Red, Unknown},
	{"the TPM cleared in mid-run", change(restarted(afterTPM()), paper,
		func(f *Facts) { f.Anchor, f.Root = AnchorGone, RootOther }), 0, Red, Delivered},
	{"the key lost, without the disk's passphrase",
		change(finished(), added, func(f *Facts) { f.Said.LostKey, f.Card = true, CardBlank }), 0, Red, Tampered},
	{"the key lost, and files that nobody was shown",
		change(finished(), paper, func(f *Facts) { f.Said.LostKey, f.Tree, f.Card = true, TreeDiffers, CardBlank }), 0, Quiet,
		Finished},
}

func TestAttacks(t *testing.T) {
	for _, c := range attacks {
		t.Run(c.name, func(t *testing.T) {
			v := Judge(c.facts)
			not := c.not
			if not == 0 {
				not = ^nothingChanges
			}
			if v.Acts&not != 0 {
				t.Errorf("allows %v: phase %v, identity %v, %v", v.Acts, v.Phase, v.Identity, v.Reasons)
			}
			if v.Level < c.level {
				t.Errorf("level %v, at least %v: %v", v.Level, c.level, v.Reasons)
			}
			if c.keep != Unknown && v.Phase != c.keep {
				t.Errorf("phase %v, want %v: %v", v.Phase, c.keep, v.Reasons)
			}
		})
	}
}

// TestTheWayOut: where all but the file is signed, it can be taken away; otherwise nothing is offered.
func TestTheWayOut(t *testing.T) {
	v := Judge(change(finished(), added))
	if len(v.Asks) != 1 || v.Asks[0] != AskRemoveFile || v.Acts != set(RemoveTrigger) {
		t.Errorf("%+v", v)
	}
	for _, tree := range []Tree{TreeUnknown, TreeDiffers, TreeUnsigned} {
		if v := Judge(change(finished(), added, func(f *Facts) { f.Tree = tree })); len(v.Asks) != 0 || v.Acts != 0 {
			t.Errorf("%v: %+v", tree, v)
		}
	}
	// Somebody who has the card that the chip trusts begins anew with all pages.
	v = Judge(change(finished(), added, typed, func(f *Facts) { f.Said.PIN = Same }))
	if !v.May(ResetCard) || v.May(SignTree) || v.Level != Red {
		t.Errorf("%+v", v)
	}
}

func TestCounted(t *testing.T) {
	for _, c := range []struct {
		n, counter uint32
		want       Count
	}{
		{1, 1, CountWithin}, {1, 1 + Slack, CountWithin}, {1, 2 + Slack, CountBeyond}, {5, 4, CountBeyond},
		{0, 0, CountBeyond},
		{1<<24 - 1, 1<<24 - 1, CountBeyond}, {1<<24 - 2, 1<<24 - 1, CountBeyond}, {1<<24 - 2, 1<<24 - 2, CountWithin},
	} {
		if got := Counted(c.n, c.counter); got != c.want {
			t.Errorf("receipt %d, card %d: %v", c.n, c.counter, got)
		}
	}
}

// TestElsewhere: what is signed, and not for this TPM, goes on by somebody who knows the signer and says so.
func TestElsewhere(t *testing.T) {
	at := func(f Facts, by ...func(*Facts)) Verdict {
		return Judge(change(change(f, by...), func(f *Facts) { f.Tree = TreeElsewhere }))
	}
	if v := at(delivered(), typed); v.Identity != Typed || !v.May(ResetCard) {
		t.Errorf("%+v", v)
	}
	lost := func(f *Facts) { f.Said.LostKey, f.Card = true, CardBlank }
	if v := at(finished(), paper, lost, func(f *Facts) { f.Said.Names = true }); v.Identity != Lost || !v.May(ResetCard) {
		t.Errorf("shown and typed for: %+v", v)
	}
	if v := at(finished(), paper, lost); v.Identity == Lost {
		t.Errorf("not shown: %+v", v)
	}
}
