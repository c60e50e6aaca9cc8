package judge

// Progress is how far the devices are, all together.
type Progress uint8

const (
	Unmeasured Progress = iota
	Stopped             // nothing is written until somebody has explained or left out what is wrong
	Foreign             // something is another's, and is ended or replaced once it is known who asks
	Undone
	Later // all but what only another start can do
	Done
	progresses
)

// badness orders containers from the best to the worst.
var badness = [volumes]uint8{
	NoVolume: 0, VolumeOurs: 1, VolumeLeftOut: 2, VolumeUnderWay: 3, VolumeSet: 4, VolumeSeller: 5, VolumeFlagged: 6,
	VolumeOther: 7, VolumeAmbiguous: 8, VolumeMissing: 9, VolumeRegressed: 10, VolumeUnknown: 11,
}

// FoldVolumes gives the worst of all containers. No list at all is nothing measured: that there is
// no disk is a fact only where none is promised, and is then NoVolume.
func FoldVolumes(all []Volume) Volume {
	if len(all) == 0 {
		return VolumeUnknown
	}
	worst := NoVolume
	for _, v := range all {
		if v >= volumes {
			return VolumeUnknown
		}
		if badness[v] > badness[worst] {
			worst = v
		}
	}
	return worst
}

// FoldPapers gives what all secrets that were asked for say together.
func FoldPapers(all ...Paper) Paper {
	got := PaperNone
	for _, p := range all {
		switch {
		case p == PaperUnknown || got == PaperUnknown:
			got = PaperUnknown
		case p == PaperNone:
		case got == PaperNone:
			got = p
		case got != PaperOwn: // one that is not good stays
		default:
			got = p
		}
	}
	return got
}

// FoldComparisons gives what all promised values say together; nothing promised is
// ComparisonNotProvided.
func FoldComparisons(all ...Comparison) Comparison {
	got := ComparisonNotProvided
	little := false
	for _, c := range all {
		switch c {
		case ComparisonUnknown, ComparisonDiffers:
			if got != ComparisonDiffers {
				got = c
			}
		case ComparisonNotProvided:
			little = true
		case ComparisonEqual:
			if got == ComparisonNotProvided {
				got = c
			}
		}
	}
	if little && got == ComparisonEqual {
		return ComparisonNotProvided
	}
	return got
}

// FoldTree gives what /boot is worth: of the set in place and, where a run is open, the complete
// staged one. One that verifies is enough; one that cannot be read leaves it open.
func FoldTree(sets ...Tree) Tree {
	got := TreeUnsigned
	for _, t := range sets {
		switch {
		case t == TreeUnknown || t >= trees:
			return TreeUnknown
		case t == TreeSigned, t == TreeElsewhere && got != TreeSigned, t == TreeDiffers && got == TreeUnsigned:
			got = t
		}
	}
	if len(sets) == 0 {
		return TreeUnknown
	}
	return got
}

// Writable says whether anything may be written to a container at all.
func (v Volume) Writable() bool {
	return v == VolumeSeller || v == VolumeSet || v == VolumeUnderWay || v == VolumeFlagged || v == VolumeOther
}

// progress is the third stage.
func progress(v Volume, r Root, s Sealed) (Progress, Reason) {
	switch {
	case v == VolumeUnknown:
		return Unmeasured, UnreadDisk
	case r == RootUnknown:
		return Unmeasured, UnreadTPM
	case s == SealedUnknown:
		return Unmeasured, UnreadSealed
	}
	switch v {
	case VolumeRegressed:
		return Stopped, DiskWentBack
	case VolumeMissing:
		return Stopped, DiskIsMissing
	case VolumeAmbiguous:
		return Stopped, DiskIsAmbiguous
	}
	switch r {
	case RootRegressed:
		return Stopped, TPMWentBack
	case RootOther:
		return Foreign, TPMIsOther
	}
	switch v {
	case VolumeOther:
		return Foreign, DiskIsOther
	case VolumeFlagged:
		return Foreign, DiskIsFlagged
	case VolumeSeller, VolumeSet, VolumeUnderWay:
		return Undone, WorkIsLeft
	}
	switch {
	case r == RootSeller || r == RootCleared || r == RootOurs && s == SealedNone:
		return Undone, WorkIsLeft
	case s == SealedLater:
		return Later, SealsLater
	}
	return Done, WorkIsDone
}
