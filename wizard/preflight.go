package wizard

import (
	"errors"
	"fmt"

	"reown/wizard/msg"
)

// Problem is something that must be put right before a run, and how.
type Problem struct {
	ID     string
	What   msg.M
	Remedy msg.M
	Args   []any // for What
	// Battery problems may be accepted by the owner.
	Battery bool
}

// certSpace is the room that a new certificate may need in the ROM, in bytes: the
// largest that the card makes (RSA 4096, three keys), with half as much again.
const certSpace = 8 << 10

// freeMemory must be left beside what the disk's keyslots need, in bytes.
const freeMemory = 48 << 20

// minBattery is the charge below which a run on the battery is refused, in percent.
const minBattery = 40

var noEntry = Problem{ID: "entries", What: msg.ProblemEntries, Remedy: msg.RemedyEntries}

// preflight measures everything that can stop a run before the first write.
func preflight(s *Snapshot, battery bool) []Problem {
	var all []Problem
	add := func(id string, what, remedy msg.M, args ...any) {
		all = append(all, Problem{ID: id, What: what, Remedy: remedy, Args: args})
	}
	fail := func(id string, err error) { add(id, msg.ProblemDevice, msg.RemedyDevice, id, err.Error()) }

	if p, err := s.m.Platform.Power(s.ctx); err != nil {
		fail("power", err)
	} else if p.Known && !p.Mains {
		if !battery || p.Percent >= 0 && p.Percent < minBattery {
			add("power", msg.ProblemPower, msg.RemedyPower, max(p.Percent, 0))
			all[len(all)-1].Battery = p.Percent >= minBattery
		}
	}
	if now, built := s.m.Platform.Now(), s.m.Platform.Built(); now.Before(built) {
		add("clock", msg.ProblemClock, msg.RemedyClock, now.UTC().Format("2006-01-02 15:04"))
	}
	if c, err := s.Card(); errors.Is(err, ErrNoCard) {
		add("card", msg.ProblemCard, msg.RemedyCard)
	} else if err != nil {
		fail("card", err)
	} else if len(c.Algorithms) == 0 && !c.Terminated {
		add("card", msg.ProblemCardOld, msg.RemedyCardOld, c.Vendor)
	} else if _, err := s.Owner(); c.NoReset && errors.Is(err, errNoOwner) {
		add("card", msg.ProblemNoReset, msg.RemedyCardOld, c.Vendor)
	}
	if token := s.m.HOTP(s.ctx); token != nil {
		// Whatever else is the matter with it, its step says. This would only be
		// found out when the seller's secret is gone.
		if _, err := token.Info(s.ctx); errors.Is(err, ErrNoHOTP) {
			add("token", msg.ProblemToken, msg.RemedyToken)
		}
	}
	if s.m.TPM != nil {
		if _, err := s.TPM(); err != nil {
			fail("tpm", err)
		}
	}
	if disks, err := s.Disks(); err != nil {
		fail("disk", err)
	} else {
		for _, d := range disks {
			if d.Format != "LUKS2" && d.Format != "" {
				add("format", msg.ProblemFormat, msg.RemedyFormat, d.Path, d.Format)
			}
			if d.Keyslots == 0 && !d.Reencrypting {
				add("keyslots", msg.ProblemKeyslots, msg.RemedyKeyslots, d.Path)
			}
			if have := s.m.Platform.Memory(); have > 0 && d.KDFMemory+freeMemory > have {
				add("memory", msg.ProblemMemory, msg.RemedyMemory, (d.KDFMemory+freeMemory)>>20, have>>20)
			}
		}
	}
	if _, err := s.Firmware(); err != nil {
		fail("firmware", err)
	} else if holds, err := s.Holds(); err != nil {
		fail("firmware", err)
	} else if !holds {
		if _, err := s.m.Firmware.CheckSpace(s.ctx, certSpace); err != nil {
			fail("firmware", err)
		}
	}
	if b, err := s.Boot(); err != nil {
		fail("boot", err)
	} else if b.Default < 0 {
		if r, _ := s.Receipt(); s.entry(r) < 0 {
			all = append(all, noEntry)
		}
	}
	return all
}

func (p Problem) String() string {
	return fmt.Sprintf("%s: %s", p.ID, p.What.In(msg.EN, p.Args...))
}
