module reown

go 1.26.0

// The release is the same everywhere with this Go; scripts/overlay/patches/std fit it.
toolchain go1.26.8

require (
	github.com/ProtonMail/go-crypto v1.5.2
	github.com/anatol/luks.go v0.0.0-20260615185044-2658459c8ca5
	github.com/creack/pty v1.1.24
	github.com/dgryski/go-camellia v0.0.0-20191119043421-69a8a13fb23d
	github.com/gdamore/tcell/v2 v2.13.10
	github.com/google/go-tpm v0.9.8
	github.com/hinshun/vt10x v0.0.0-20220301184237-5011da428d02
	github.com/makiuchi-d/gozxing v0.1.1
	github.com/rivo/tview v0.42.0
	golang.org/x/crypto v0.58.0
	golang.org/x/sys v0.49.0
	golang.org/x/term v0.47.0
)

require (
	github.com/anatol/devmapper.go v0.0.0-20250316020617-2671eefd35d7 // indirect
	github.com/cloudflare/circl v1.6.3 // indirect
	github.com/gdamore/encoding v1.0.1 // indirect
	github.com/jzelinskie/whirlpool v0.0.0-20201016144138-0675e54bb004 // indirect
	github.com/lucasb-eyer/go-colorful v1.3.0 // indirect
	github.com/rivo/uniseg v0.4.7 // indirect
	golang.org/x/text v0.43.0 // indirect
	golang.org/x/xerrors v0.0.0-20200804184101-5ec99f83aff1 // indirect
)

// In place of tables that a console has no use for.
replace github.com/rivo/uniseg => ./internal/uniseg
