package boot

import "fmt"

// Remove removes what lies at the top of /boot and matches, directories with all below
// them, and makes that last. A cut leaves some of it; repeating it is harmless. op
// begins the names of the writes ("prepare.remove:kexec_reown.log").
func (d *Dir) Remove(op string, match func(name string) bool) error {
	list, err := d.names()
	if err != nil {
		return err
	}
	for _, n := range list {
		if !match(n) {
			continue
		}
		if err := d.w.Remove(op+".remove:"+n, n); err != nil {
			return fmt.Errorf("removing /boot/%s: %w", n, err)
		}
	}
	return d.sync(op + ".syncdir:.")
}
