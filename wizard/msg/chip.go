package msg

// What becomes of the firmware chip's other content.
var (
	ChipShared = M{"%d blocks hold other firmware as well: never cut the power then.", "%d blocs portent aussi le reste : ne coupez pas le courant.", "%d Blöcke halten auch anderes: dann nie den Strom abschalten."}
	ChipGoes   = M{"%d more files and %d settings in it are removed (F2 lists them).", "%d autres fichiers et %d réglages en sont retirés (liste : F2).", "%d weitere Dateien und %d Einstellungen verschwinden (Liste: F2)."}
	ChipLost   = M{"The settings in the firmware chip cannot be read; they start anew.", "Les réglages dans la puce sont illisibles ; ils repartent de zéro.", "Die Einstellungen im Firmwarechip sind nicht lesbar; sie beginnen neu."}
)
