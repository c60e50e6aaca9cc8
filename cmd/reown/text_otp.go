package main

import (
	"reown/internal/otp"
	"reown/internal/qr"
)

var otpTexts = []errorText{
	{err: otp.ErrWrongCode, What: "The six digits are not those that belong to this secret at this time.",
		Data: "Nothing was changed.", Do: "Wait for the next six digits on the phone and type them again. If they are wrong again, compare the time shown here with the phone's, or scan the code anew."},
	{err: otp.ErrBadCode, What: "That is not a six-digit code.", Data: "Nothing was changed.",
		Do: "Type the six digits that the phone shows; a space between them does no harm."},
	{err: otp.ErrBadSecret, What: "The file does not hold a secret for one-time codes.", Data: "Nothing was changed.",
		Do: "The file must hold 10 to 64 bytes, 20 on a Heads machine; with --base32, letters and the digits 2 to 7."},
	{err: otp.ErrBadBoard, What: "The name of the computer cannot be put into the code for the phone.",
		Data: "Nothing was changed.", Do: "Use a name of 1 to 64 plain letters, digits and signs."},
	{err: qr.ErrTooLong, What: "The text is too long for a QR code that fits the screen.", Data: "Nothing was changed.",
		Do: "Use a shorter name for the computer, or type the letters of the secret into the phone."},
}
