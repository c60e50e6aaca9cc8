package msg

// What a rehearsal finds.
var (
	ProblemAlgorithm = M{"This security key (%s) makes no keys of the kind %s.", "Cette clé (%s) ne crée pas de clés du type %s.", "Dieser Sicherheitsschlüssel (%s) erzeugt keine Schlüssel der Art %s."}
	ProblemRefuses   = M{"%s cannot be re-encrypted: %s", "%s ne peut être rechiffré : %s", "%s lässt sich nicht umschlüsseln: %s"}
	RemedyLeaveOut   = M{"Leave this disk as it is; who knows its passphrase can go on reading it.", "Laissez ce disque tel quel ; qui connaît sa phrase pourra toujours le lire.", "Dieses Laufwerk lassen, wie es ist; wer seine Passphrase kennt, kann es weiter lesen."}
	ProblemEntry     = M{"\"%s\" cannot start by default: %s", "\"%s\" ne peut démarrer par défaut : %s", "\"%s\" kann nicht von selbst starten: %s"}
	RemedyEntry      = M{"Choose another entry of the boot menu.", "Choisissez une autre entrée du menu de démarrage.", "Wählen Sie einen anderen Eintrag des Startmenüs."}
	ButtonEntry      = M{"Other system", "Autre système", "Anderes System"}
	ButtonMore       = M{"More", "Suite", "Weitere"}
	ProblemOdd       = M{"/boot holds what the firmware cannot check: %s", "/boot contient ce que le micrologiciel ne peut vérifier : %s", "In /boot liegt, was die Firmware nicht prüfen kann: %s"}
	RemedyOdd        = M{"Ask the seller. If you know what it is, remove it in the firmware's recovery shell.", "Demandez au vendeur. Si vous savez ce que c'est, supprimez-le dans le shell de secours du micrologiciel.", "Den Verkäufer fragen. Wer weiß, was es ist, löscht es in der Notfall-Shell der Firmware."}
	ProblemFull      = M{"/boot has too little room: %s", "Trop peu de place dans /boot : %s", "In /boot ist zu wenig Platz: %s"}
	RemedyFull       = M{"Start the installed system and remove old kernels.", "Démarrez le système installé et supprimez d'anciens noyaux.", "Das installierte System starten und alte Kernel entfernen."}
	ProblemFixed     = M{"/boot cannot be changed: %s", "/boot ne peut être modifié : %s", "/boot lässt sich nicht ändern: %s"}
	RemedyFixed      = M{"Ask the seller: the files must lose their protection.", "Demandez au vendeur : ces fichiers doivent perdre leur protection.", "Den Verkäufer fragen: Der Schutz dieser Dateien muss weg."}
	ProblemBootDisk  = M{"The disk with /boot reports an error: %s", "Le disque de /boot signale une erreur : %s", "Das Laufwerk mit /boot meldet einen Fehler: %s"}

	ProblemLocked = M{"The firmware chip is write-protected: %s", "La puce du micrologiciel est protégée en écriture : %s", "Der Firmware-Chip ist schreibgeschützt: %s"}
	RemedyLocked  = M{"Restart the computer. If it stays so, ask the seller.", "Redémarrez l'ordinateur. Si cela persiste, demandez au vendeur.", "Den Rechner neu starten. Bleibt es so: den Verkäufer fragen."}
	ProblemNoRoom = M{"The firmware has no room for your key: %s", "Le micrologiciel n'a pas de place pour votre clé : %s", "In der Firmware ist kein Platz für Ihren Schlüssel: %s"}
	ProblemLayout = M{"This firmware cannot be changed safely: %s", "Ce micrologiciel ne peut être modifié sans risque : %s", "Diese Firmware lässt sich nicht sicher ändern: %s"}
	RemedyLayout  = M{"Ask the seller for another firmware.", "Demandez un autre micrologiciel au vendeur.", "Den Verkäufer um eine andere Firmware bitten."}

	ProblemTPMBank     = M{"The TPM does not keep the measurements that are needed: %s", "Le TPM ne garde pas les mesures nécessaires : %s", "Das TPM hält die nötigen Messwerte nicht: %s"}
	RemedyTPMBank      = M{"Ask the seller: the firmware must switch SHA-256 on.", "Demandez au vendeur : le micrologiciel doit activer SHA-256.", "Den Verkäufer fragen: Die Firmware muss SHA-256 einschalten."}
	ProblemTPMKeyType  = M{"The TPM makes no storage key of the kind that the firmware wants: %s", "Le TPM ne crée pas la clé de stockage voulue par le micrologiciel : %s", "Das TPM erzeugt nicht den Speicherschlüssel, den die Firmware will: %s"}
	ProblemTPMSlots    = M{"The TPM keeps too few keys: %s", "Le TPM garde trop peu de clés : %s", "Das TPM hält zu wenige Schlüssel: %s"}
	RemedyWithoutDUK   = M{"Go on without the disk unlock key.", "Continuez sans la clé de déverrouillage du disque.", "Ohne den Entsperrschlüssel weitermachen."}
	ProblemTPMRoom     = M{"The TPM has no room for what is needed: %s", "Le TPM n'a pas de place pour le nécessaire : %s", "Im TPM ist kein Platz für das Nötige: %s"}
	ProblemTPMPresence = M{"The TPM wants somebody's hand at the machine before it is cleared: %s", "Le TPM exige une présence physique avant d'être effacé : %s", "Das TPM verlangt jemanden am Gerät, bevor es gelöscht wird: %s"}
	RemedyTPMPresence  = M{"Ask the seller: the firmware must be set to clear it without that.", "Demandez au vendeur : le micrologiciel doit permettre l'effacement sans cela.", "Den Verkäufer fragen: Die Firmware muss das Löschen ohne dies erlauben."}
	ProblemTPMLocked   = M{"The TPM cannot be cleared in this start: %s", "Le TPM ne peut être effacé dans ce démarrage : %s", "Das TPM lässt sich in diesem Start nicht löschen: %s"}
	ProblemTPMNoEK     = M{"Nobody can own this TPM: %s", "Personne ne peut s'approprier ce TPM : %s", "Dieses TPM kann niemandem gehören: %s"}
)
