package main

import "reown/wizard/prepare"

var prepareTexts = []errorText{
	{err: prepare.ErrOrder, What: "The order file cannot be used; the line above says why.", Data: "Nothing was changed.", Do: "Correct the order file (docs/oem.md) and run the command again."},
	{err: prepare.ErrOtherOrder, What: "The secrets file that was named was made for another laptop.", Data: "Nothing was changed. Secrets are never used for two laptops.", Do: "Name the secrets file of this order, or a new one. If the security key was exchanged in mid-run, put the disk's passphrase into a file of its own as secret.current."},
	{err: prepare.ErrBuyer, What: "A message to the buyer cannot be made with the certificate that was named.", Data: "Nothing was changed on the laptop by this.", Do: "Compare its fingerprint with the order, and ask the buyer for a certificate with a valid encryption key."},
	{err: prepare.ErrNoVolume, What: "No encrypted disk was found in this laptop.", Data: "Nothing was changed.", Do: "Write the disk image first, or name the disk with --disk."},
	{err: prepare.ErrNoTPM, What: "No TPM was found in this laptop.", Data: "Nothing was changed.", Do: "If the laptop has one, it is switched off or broken. If it has none, say so with --tpm none."},
	{err: prepare.ErrCard, What: "Another security key is plugged in than the one of the order.", Data: "Nothing was changed.", Do: "Plug in the right one, or correct the order."},
	{err: prepare.ErrCardElsewhere, What: "The security key that is plugged in holds keys that are not this laptop's. It may work for another one, and preparing erases it.", Data: "That security key was not changed.", Do: "Plug in the one that is to be shipped. If it is this one, add --erase-card with the last four characters of the number above, or put the number into the order.", Exit: exitRefused},
	{err: prepare.ErrShop, What: "The shop's own key cannot sign; the line above says why.", Data: "Nothing was changed.", Do: "Plug in the shop's security key beside the laptop's, and name it with --shop-serial, its certificate and its PIN's file. It is never the one that the laptop is shipped with."},
	{err: prepare.ErrRestart, What: "The TPM of this laptop wants a restart before the work can go on.", Data: "What is done stays done, and the secrets are in the secrets file.", Do: "Restart the laptop normally and give the same command again, or let it do so itself with --restart.", Exit: exitStopped},
	{err: prepare.ErrUnsigned, What: "All is done but the signature of the shop's key. The laptop does not pass a buyer's check without it.", Data: "Nothing is lost; the laptop may be switched off meanwhile.", Do: "Have the file that was written to --mail-out signed, and give the same command with --shop-signature FILE in the place of --shop-later.", Exit: exitStopped},
	{err: prepare.ErrNotWaiting, What: "This laptop has no hand-over file of this order and this shop that waits for a signature.", Data: "Nothing was changed.", Do: "Compare the order and --shop-cert with those of the run with --shop-later. If the laptop was prepared anew since, have its new file signed."},
	{err: prepare.ErrShopSignature, What: "The signature that was given is not one by the shop's key over this laptop's hand-over file.", Data: "Nothing was changed.", Do: "Sign the file that the last run has written to --mail-out, byte for byte, with the key of --shop-cert: gpg --detach-sign --armor."},
	{err: prepare.ErrNotAsStated, What: "The laptop was read again at the end, and is not what its signed statement says.", Data: "The laptop is not fit to be shipped.", Do: "Run the command again. If it stays so, a device is broken; the line above says which."},
}
