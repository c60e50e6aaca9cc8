package msg

// CannotCompare is a line of a verification that the machine does not answer now.
var CannotCompare = M{"cannot be compared: %s", "comparaison impossible : %s", "kein Vergleich möglich: %s"}

// MovesSystem is said of a disk passphrase whose characters move.
var MovesSystem = M{"At its start the installed system asks for it, maybe with another keyboard layout than this one. Choose another if you do not know which.", "Au démarrage, le système installé la demande, peut-être avec une autre disposition de clavier. Si vous ne savez pas laquelle, choisissez-en une autre.", "Beim Start fragt das installierte System danach, vielleicht mit einer anderen Tastaturbelegung als hier. Nehmen Sie eine andere, wenn Sie nicht wissen, mit welcher."}

// What the program does between two pages, where that takes seconds.
var (
	PleaseWait  = M{"Please wait.", "Un instant.", "Bitte warten."}
	WaitSeconds = M{"%d seconds", "%d secondes", "%d Sekunden"}
	WaitMeasure = M{"Looking at the security key, the disk, the TPM, the firmware chip and the start files. Nothing is changed.", "Examen de la clé de sécurité, du disque, du TPM, de la puce et des fichiers de démarrage. Rien n'est modifié.", "Sicherheitsschlüssel, Platte, TPM, Firmwarechip und Startdateien werden angesehen. Es wird nichts geändert."}
	WaitVerify  = M{"Checking that everything is ready, and comparing this computer with what the seller signed. Nothing is changed.", "On vérifie que tout est prêt, et on compare cet ordinateur avec ce que le vendeur a signé. Rien n'est modifié.", "Es wird geprüft, ob alles bereit ist, und der Rechner mit dem verglichen, was der Verkäufer signiert hat. Es wird nichts geändert."}
	WaitRestart = M{"Taking the secrets out of the memory, and restarting.", "On efface les secrets de la mémoire, puis l'ordinateur redémarre.", "Die Geheimnisse werden aus dem Speicher gelöscht, dann wird neu gestartet."}
)
