package labd

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// measure extends PCRs by the lines "PCR HEX" of a file: TPM2_PCR_Extend of the
// SHA-256 bank for 32 bytes, TPM_Extend for 20.
func measure(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	// Not an os.File: Go would make the device non-blocking, and a read that comes
	// before the answer is then the end of the file.
	t, err := unix.Open("/dev/tpm0", unix.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer unix.Close(t)
	for sc := bufio.NewScanner(f); sc.Scan(); {
		var pcr uint32
		var text string
		if sc.Text() == "" {
			continue
		}
		if _, err := fmt.Sscan(sc.Text(), &pcr, &text); err != nil {
			return err
		}
		digest, err := hex.DecodeString(text)
		if err != nil {
			return err
		}
		if _, err := unix.Write(t, extend(pcr, digest)); err != nil {
			return err
		}
		var answer [256]byte
		n, err := unix.Read(t, answer[:])
		if err != nil {
			return err
		}
		if n < 10 {
			return errors.New("the TPM's answer is too short")
		}
		if rc := binary.BigEndian.Uint32(answer[6:]); rc != 0 {
			return fmt.Errorf("PCR %d: TPM error %#x", pcr, rc)
		}
	}
	return nil
}

func extend(pcr uint32, digest []byte) []byte {
	be := binary.BigEndian
	if len(digest) == 20 {
		cmd := be.AppendUint32([]byte{0x00, 0xc1, 0, 0, 0, 34, 0, 0, 0, 0x14}, pcr)
		return append(cmd, digest...)
	}
	cmd := be.AppendUint32([]byte{0x80, 0x02, 0, 0, 0, 65, 0, 0, 0x01, 0x82}, pcr)
	cmd = append(cmd, 0, 0, 0, 9, 0x40, 0, 0, 0x09, 0, 0, 0, 0, 0) // an empty password
	return append(append(cmd, 0, 0, 0, 1, 0x00, 0x0b), digest...)
}
