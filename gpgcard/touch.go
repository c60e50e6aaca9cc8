package gpgcard

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"

	"reown/internal/secret"
)

// A TouchPolicy says whether a slot's key is used only after the button is touched
// (user interaction flag, DO D6 to D8, clause 4.4.3.6).
type TouchPolicy byte

// The policies. TouchFixed cannot be switched off again but by a reset; the cached
// ones are YubiKey's and hold for 15 seconds after a touch.
const (
	TouchOff         TouchPolicy = 0
	TouchOn          TouchPolicy = 1
	TouchFixed       TouchPolicy = 2
	TouchCached      TouchPolicy = 3
	TouchCachedFixed TouchPolicy = 4
)

var touchNames = map[TouchPolicy]string{TouchOff: "off", TouchOn: "on", TouchFixed: "fixed", TouchCached: "cached",
	TouchCachedFixed: "cached-fixed"}

func (p TouchPolicy) String() string {
	if s := touchNames[p]; s != "" {
		return s
	}
	return fmt.Sprintf("policy %d", byte(p))
}

func touchName(do []byte) string {
	switch {
	case len(do) == 0:
		return ""
	case len(do) < 2:
		return hex.EncodeToString(do)
	}
	return TouchPolicy(do[0]).String()
}

// ErrNoTouch says that the card has no button, or not for this policy.
var ErrNoTouch = errors.New("the card does not offer this touch policy")

// ErrTouchFixed says that the policy in force can only be ended by a reset.
var ErrTouchFixed = errors.New("the touch policy is fixed")

// SetTouch sets a slot's touch policy. A key that is generated or imported later
// resets it on some cards (quirk RQ005), so it is set last. admin nil means the
// factory PIN.
func (c *Card) SetTouch(ctx context.Context, admin *secret.Buffer, s Slot, p TouchPolicy) error {
	d, err := c.applicationData(ctx)
	if err != nil {
		return err
	}
	if len(d.touch[s]) == 0 {
		return ErrNoTouch
	}
	if d.touch[s][0] == byte(p) {
		return nil
	}
	if was := TouchPolicy(d.touch[s][0]); was == TouchFixed || was == TouchCachedFixed {
		return fmt.Errorf("%w: it is %v until the card is reset", ErrTouchFixed, was)
	}
	if err := c.admin(ctx, admin); err != nil {
		return err
	}
	feature := byte(0x20) // a button
	if len(d.touch[s]) > 1 && d.touch[s][1] != 0 {
		feature = d.touch[s][1]
	}
	err = c.putData(ctx, s.touchTag(), []byte{byte(p), feature})
	var st *StatusError
	if errors.As(err, &st) && st.SW != swSecurity {
		return fmt.Errorf("%w: %v", ErrNoTouch, err) // its 6983 is not that of a PIN
	}
	if err != nil {
		return err
	}
	if d, err = c.applicationData(ctx); err != nil {
		return err
	}
	if len(d.touch[s]) == 0 || d.touch[s][0] != byte(p) {
		return fmt.Errorf("%w: it did not keep %v", ErrNoTouch, p)
	}
	return nil
}

// ParseTouchPolicy reads a policy's name: off, on, fixed, cached, cached-fixed.
func ParseTouchPolicy(s string) (TouchPolicy, error) {
	for p, name := range touchNames {
		if name == s {
			return p, nil
		}
	}
	return 0, fmt.Errorf("unknown touch policy %q", s)
}
