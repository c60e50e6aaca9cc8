package msg

// The certificate on paper: what a finished run can show.
var (
	PaperTitle = M{"CERTIFICATE OF OWNERSHIP %s", "CERTIFICAT DE PROPRIÉTÉ %s", "EIGENTUMSZERTIFIKAT %s"}
	PaperWhat  = M{"This computer was made its owner's own on %s. What follows was measured then, and signed with the owner's key.", "Cet ordinateur est devenu celui de son propriétaire le %s. Ce qui suit a été mesuré alors, et signé avec la clé du propriétaire.", "Dieser Rechner wurde am %s seinem Besitzer zu eigen gemacht. Was folgt, wurde dabei gemessen und mit dem Schlüssel des Besitzers signiert."}

	PaperBoard     = M{"Computer", "Ordinateur", "Rechner"}
	PaperOwner     = M{"Owner", "Propriétaire", "Besitzer"}
	PaperOwnerKey  = M{"Owner's key", "Clé du propriétaire", "Schlüssel (Besitzer)"}
	PaperCard      = M{"Security key", "Clé de sécurité", "Sicherheitsschlüssel"}
	PaperSeller    = M{"Seller", "Vendeur", "Verkäufer"}
	PaperSellerKey = M{"Seller's key", "Clé du vendeur", "Schlüssel (Verk.)"}
	PaperStatement = M{"Seller's hand-over file, SHA-256", "Fichier de remise du vendeur, SHA-256", "Übergabedatei des Verkäufers, SHA-256"}
	PaperOrder     = M{"Order", "Commande", "Bestellung"}

	PaperChecks  = M{"Checks", "Vérifications", "Prüfungen"}
	PaperAll     = M{"%d of %d checks hold. Nothing that the seller had opens this computer any more.", "%d vérifications sur %d tiennent. Rien de ce qu'avait le vendeur n'ouvre plus cet ordinateur.", "%d von %d Prüfungen halten. Nichts, was der Verkäufer hatte, öffnet diesen Rechner noch."}
	PaperNotAll  = M{"%d of %d checks hold. What could not be checked counts as not held, and is named below.", "%d vérifications sur %d tiennent. Ce qui n'a pas pu être vérifié ne compte pas, et est nommé ci-dessous.", "%d von %d Prüfungen halten. Was nicht geprüft werden konnte, zählt nicht mit und steht unten."}
	PaperUnknown = M{"not known", "inconnu", "nicht bekannt"}
	PaperPlain   = M{"not encrypted, not verified: %s", "ni chiffré ni vérifié : %s", "weder verschlüsselt noch geprüft: %s"}

	CheckNot          = M{"not checked: %s", "non vérifié : %s", "nicht geprüft: %s"}
	CheckSecondRead   = M{"a second program opens the disk", "un second programme ouvre le disque", "ein zweites Programm öffnet die Platte"}
	CheckSealed       = M{"the TPM guards your six digits", "le TPM garde vos six chiffres", "das TPM hütet Ihre sechs Ziffern"}
	CheckSeller       = M{"the seller's signed list was met", "la liste signée du vendeur concordait", "die Liste des Verkäufers traf zu"}
	CheckSellersCard  = M{"the seller's key signed a test", "la clé du vendeur a signé un essai", "der Schlüssel des Verkäufers unterschrieb"}
	CheckAllEncrypted = M{"nothing else lies on the drives", "rien d'autre sur les disques", "nichts anderes liegt auf den Laufwerken"}

	PaperMeasured = M{"Measured", "Mesures", "Gemessen"}
	PaperVolume   = M{"disk %s, digest of its key:", "disque %s, empreinte de sa clé :", "Platte %s, Prüfsumme des Schlüssels:"}
	PaperRoot     = M{"the TPM's root, the name of its storage key:", "racine du TPM, le nom de sa clé de stockage :", "Wurzel des TPM, der Name seines Speicherschlüssels:"}
	PaperFirmware = M{"the firmware chip, SHA-256:", "la puce du micrologiciel, SHA-256 :", "der Firmware-Chip, SHA-256:"}

	PaperLimits      = M{"What this does not prove", "Ce que ceci ne prouve pas", "Was das nicht beweist"}
	PaperNotTried    = M{"The old PINs and the old TPM passphrase were not tried, because each try is counted: the security key was reset and the TPM cleared, which ends them.", "Les anciens codes et l'ancienne phrase du TPM n'ont pas été essayés, car chaque essai compte : la clé a été réinitialisée et le TPM effacé, ce qui y met fin.", "Die alten PINs und die alte TPM-Passphrase wurden nicht probiert, denn jeder Versuch zählt: der Schlüssel wurde zurückgesetzt und das TPM gelöscht, das beendet sie."}
	PaperNotSeller   = M{"That the seller was honest when he packed the computer.", "Que le vendeur était honnête en emballant l'ordinateur.", "Dass der Verkäufer ehrlich war, als er den Rechner verpackte."}
	PaperNotHardware = M{"That nothing was built into the case, the keyboard or the chips.", "Que rien n'a été ajouté dans le boîtier, le clavier ou les puces.", "Dass nichts in Gehäuse, Tastatur oder Chips eingebaut wurde."}
	PaperNotFirmware = M{"That the program which measured was itself unchanged: whoever rewrote the whole firmware chip before can make it show anything. Only reading the chip from outside answers that.", "Que le programme qui a mesuré était intact : qui a réécrit toute la puce auparavant peut lui faire afficher n'importe quoi. Seule une lecture de la puce de l'extérieur y répond.", "Dass das messende Programm selbst unverändert war: wer zuvor den ganzen Chip neu schrieb, kann alles anzeigen lassen. Nur ein Auslesen des Chips von außen klärt das."}
	PaperNotWatched  = M{"That nobody, and no camera, saw the secrets while they were written down.", "Que personne, ni aucune caméra, n'a vu les secrets pendant qu'ils étaient notés.", "Dass niemand und keine Kamera die Geheimnisse beim Aufschreiben sah."}

	PaperVerify = M{"How to check it", "Comment le vérifier", "Wie man es prüft"}
	PaperHow    = M{"With GnuPG on any computer; the fingerprint that gpg shows must be the owner's key above.", "Avec GnuPG sur tout ordinateur ; l'empreinte affichée par gpg doit être la clé du propriétaire ci-dessus.", "Mit GnuPG auf jedem Rechner; der angezeigte Fingerabdruck muss der Schlüssel des Besitzers oben sein."}
	PaperFiles  = M{"In /boot the text is kexec_reown.certificate, the signature the same with .asc, and the key kexec_reown.asc. On a stick they are reown-%[1]s.txt, .txt.asc and -key.pgp. 'reown verify' compares the computer with it once more.", "Dans /boot, le texte est kexec_reown.certificate, la signature le même nom avec .asc, et la clé kexec_reown.asc. Sur une clé USB : reown-%[1]s.txt, .txt.asc et -key.pgp. 'reown verify' y compare l'ordinateur à nouveau.", "In /boot ist der Text kexec_reown.certificate, die Signatur derselbe Name mit .asc, der Schlüssel kexec_reown.asc. Auf einem Stick: reown-%[1]s.txt, .txt.asc und -key.pgp. 'reown verify' vergleicht den Rechner noch einmal damit."}
)
