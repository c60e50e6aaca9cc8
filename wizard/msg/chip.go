package msg

// What becomes of the firmware chip's other content.
var (
	ChipShared     = M{"Its blocks hold other firmware as well (%d): keep the power on.", "Ses blocs portent aussi le reste (%d) : gardez le courant.", "Die Blöcke halten auch anderes (%d): Strom nicht abschalten."}
	ChipGoes       = M{"Removed from it: %d files, %d settings; kept: %d (F2 lists them).", "Retirés : %d fichiers, %d réglages ; gardés : %d (liste : F2).", "Entfernt werden: %d Dateien, %d Einstellungen; behalten: %d (F2)."}
	ChipTaken      = M{"kept", "gardé", "bleibt"}
	ChipWhyCommand = M{"could run a command", "pourrait lancer une commande", "könnte einen Befehl ausführen"}
	ChipWhySetting = M{"the former owner's choice", "choix de l'ancien propriétaire", "Wahl des früheren Besitzers"}
	ChipWhyValue   = M{"unusual value; found out anew at each start", "valeur inhabituelle ; redéterminée à chaque démarrage", "unüblicher Wert; wird bei jedem Start neu ermittelt"}
	ChipLost       = M{"The settings in the firmware chip cannot be read; they start anew.", "Les réglages dans la puce sont illisibles ; ils repartent de zéro.", "Die Einstellungen im Firmwarechip sind nicht lesbar; sie beginnen neu."}
)
