package luks_test

import (
	"context"
	"fmt"
	"os"

	"reown/luks"
)

// volume makes the file of a volume with a header that cryptsetup wrote.
func volume() (name string, err error) {
	header, err := os.ReadFile("testdata/plain.luks2")
	if err != nil {
		return "", err
	}
	f, err := os.CreateTemp("", "volume")
	if err != nil {
		return "", err
	}
	defer f.Close()
	if _, err := f.Write(header); err != nil {
		return "", err
	}
	return f.Name(), f.Truncate(2 << 20)
}

// What a header says; nothing is written.
func ExampleOpen() {
	name, err := volume()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.Remove(name)
	v, err := luks.Open(context.Background(), name, luks.Options{ReadOnly: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer v.Close()
	info := v.Info()
	fmt.Println(info.Version, info.Cipher, info.KeyBits, info.DataSize)
	for _, k := range info.Keyslots {
		fmt.Println(k.ID, k.KDF, k.Key)
	}
	// Output:
	// 2 aes-xts-plain64 512 1048576
	// 0 pbkdf2 current
}

// Whether a device holds a volume, and whether it may be touched.
func ExampleFind() {
	name, err := volume()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.Remove(name)
	found := luks.Find(context.Background(), name, luks.Options{})
	fmt.Println(found.Kind, found.Err)
	// Output: container <nil>
}
