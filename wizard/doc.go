// Package wizard makes a laptop its buyer's own: it measures what state the
// machine is in, asks everything it needs to know, and then does eight steps,
// each of which can be cut short and continued.
//
// The rules it keeps:
//
//   - Status is measured, never remembered. What has been done is read from the
//     card, the disk header, the TPM, the flash chip and /boot. The journal says
//     only what was being attempted; nothing reads it to decide anything.
//   - No secret is applied anywhere before a person has seen it, written it down
//     and typed it back.
//   - A step is data (see Steps): the same table prints the plan, the status, the
//     progress list and the documentation.
//   - Nothing here draws. Questions go through ui.UI, which has three front ends.
//
// The devices are behind the small interfaces of this file's neighbours
// (machine.go); the program builds one Machine from real hardware, the tests
// build one from wizardtest.
package wizard
