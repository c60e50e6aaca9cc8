package ccid

import (
	"fmt"
	"time"
)

// A CommandError is a command that the reader reports as failed (CCID 1.1, 6.2.6).
type CommandError struct {
	Command byte // message type, such as 0x6F
	Code    byte // bError; codes below 0x80 name the offending byte of the message
}

func (e *CommandError) Error() string {
	if t, ok := codeText[e.Code]; ok {
		return fmt.Sprintf("card reader: command %02x failed: %s", e.Command, t)
	}
	return fmt.Sprintf("card reader: command %02x failed with code %02x", e.Command, e.Code)
}

// Codes of bError (CCID 1.1, table 6.2-2).
const (
	codeMute    = 0xfe
	codeParity  = 0xfd
	codeOverrun = 0xfc
	codeBusy    = 0xe0
)

var codeText = map[byte]string{
	0xff:        "aborted",
	codeMute:    "the card is mute",
	codeParity:  "parity error",
	codeOverrun: "overrun",
	0xfb:        "hardware error",
	0xf8:        "the card's answer to reset is bad",
	0xf7:        "the card's answer to reset is bad",
	0xf6:        "protocol not supported",
	0xf5:        "class not supported",
	0xf4:        "procedure byte conflict",
	0xf3:        "deactivated protocol",
	0xf2:        "busy",
	codeBusy:    "slot busy",
	0x00:        "command not supported",
}

// Message types (CCID 1.1, 6.1 and 6.2).
const (
	msgSetParameters = 0x61
	msgPowerOn       = 0x62
	msgPowerOff      = 0x63
	msgSlotStatus    = 0x65
	msgXfrBlock      = 0x6f
	msgAbort         = 0x72

	msgDataBlock      = 0x80
	msgSlotStatusResp = 0x81
	msgParameters     = 0x82
)

const (
	headerLen = 10
	// maxAnswer is the longest response APDU, in bytes: extended Le and SW1 SW2.
	maxAnswer = 65536 + 2
	// maxShort is the longest short command APDU, in bytes (ISO/IEC 7816-4, 5.2).
	maxShort = 5 + 255 + 1
	// minMessage is the least dwMaxCCIDMessageLength: T=1 has shorter blocks, and extended
	// APDUs are sent in pieces. Readers of short APDUs take a whole one; some give its length
	// without the header's. maxMessage carries every extended APDU.
	minMessage = 64
	maxMessage = headerLen + maxExtended
	// maxExtended is the longest extended command APDU, in bytes.
	maxExtended = 4 + 3 + 65535 + 2
)

// Times that a reader, which has no thinking to do, may take. Cards have no limit.
const (
	writeTime    = 10 * time.Second // to take a message
	answerTime   = 15 * time.Second // to answer about itself or power the card off
	powerOnTime  = 60 * time.Second // to power a card on; includes the answer to reset
	silenceTick  = 5 * time.Second  // how often Notify hears of a silent card
	closeTimeout = 5 * time.Second  // to power off when closing
	abortTime    = 5 * time.Second  // to drop a command
	busyTime     = 60 * time.Second // how long a command that was given up may keep the slot
	busyPoll     = 100 * time.Millisecond
)
