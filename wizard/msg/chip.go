package msg

// What becomes of the firmware chip's other content.
var (
	ChipShared = M{"Its blocks hold other firmware as well (%d): keep the power on.", "Ses blocs portent aussi le reste (%d) : gardez le courant.", "Die Blöcke halten auch anderes (%d): Strom nicht abschalten."}
	ChipGoes   = M{"Removed from it: %d files, %d settings (F2 lists them).", "En sont retirés : %d fichiers, %d réglages (liste : F2).", "Entfernt werden: %d Dateien, %d Einstellungen (Liste: F2)."}
	ChipLost   = M{"The settings in the firmware chip cannot be read; they start anew.", "Les réglages dans la puce sont illisibles ; ils repartent de zéro.", "Die Einstellungen im Firmwarechip sind nicht lesbar; sie beginnen neu."}
)
