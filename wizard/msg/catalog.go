package msg

// Verbatim carries a text that comes from elsewhere, an error for example.
var Verbatim = M{"%s", "%s", "%s"}

// Frame and buttons.
var (
	Title          = M{"Take ownership", "Prise de possession", "In Besitz nehmen"}
	ChooseLanguage = M{"Choose your language.", "Choisissez votre langue.", "Wählen Sie Ihre Sprache."}
	StatusLine     = M{"Keyboard: %s   Power: %s   %s UTC", "Clavier : %s   Courant : %s   %s UTC", "Tastatur: %s   Strom: %s   %s UTC"}
	LayoutUnknown  = M{"as the firmware has it", "celui du micrologiciel", "wie in der Firmware"}
	PowerMains     = M{"mains", "secteur", "Netz"}
	PowerBattery   = M{"BATTERY %d%%", "BATTERIE %d%%", "AKKU %d%%"}
	PowerUnknown   = M{"unknown", "inconnu", "unbekannt"}

	ButtonContinue = M{"Continue", "Continuer", "Weiter"}
	ButtonRetry    = M{"Try again", "Réessayer", "Noch einmal"}
	ButtonEnd      = M{"Stop here", "Arrêter ici", "Hier aufhören"}
	ButtonBattery  = M{"Run on the battery", "Rester sur batterie", "Mit Akku weiter"}
	ButtonClock    = M{"Set the clock", "Régler l'heure", "Uhr stellen"}
	ButtonMatch    = M{"Yes, both match", "Oui, tout concorde", "Ja, beides stimmt"}
	ButtonNotSure  = M{"No, or I am not sure", "Non, ou je ne sais pas", "Nein oder unsicher"}
	ButtonUnproven = M{"Go on without proof", "Continuer sans preuve", "Ohne Beweis weiter"}
	ButtonLeaveOut = M{"Leave this disk out", "Laisser ce disque", "Diese auslassen"}
	ButtonMake     = M{"Make strong ones for me", "Créez-les pour moi", "Für mich erzeugen"}
	ButtonOwn      = M{"I choose them", "Je les choisis", "Selbst wählen"}
	ButtonKeep     = M{"Keep it", "Le garder", "Behalten"}
	ButtonOther    = M{"Choose another", "En choisir un autre", "Anderes wählen"}
	ButtonAnother  = M{"Another one", "Un autre", "Ein anderes"}
	ButtonQR       = M{"As QR", "En QR", "Als QR"}
	ButtonHide     = M{"Hide", "Cacher", "Verbergen"}
	ButtonLetters  = M{"Letters", "Lettres", "Buchstaben"}
	ButtonErase    = M{"Erase and take ownership", "Effacer et prendre possession", "Löschen und übernehmen"}
	ButtonChange   = M{"Change an answer", "Changer une réponse", "Antwort ändern"}
	ButtonDisk     = M{"Disk %d", "Disque %d", "Platte %d"}
	ButtonAnew     = M{"I did not begin this", "Ce n'était pas moi", "Das war nicht ich"}
	ButtonDUKYes   = M{"Yes, with a short passphrase", "Oui, avec une phrase courte", "Ja, mit kurzer Passphrase"}
	ButtonDUKNo    = M{"No, as it is", "Non, comme avant", "Nein, wie bisher"}
	ButtonRestart  = M{"Restart the computer", "Redémarrer", "Neu starten"}
)

// Words for the state of a step.
var (
	StateNotStarted  = M{"Not started", "Pas commencé", "Offen"}
	StateInProgress  = M{"In progress", "En cours", "Läuft"}
	StateCompleted   = M{"Completed", "Terminé", "Fertig"}
	StateCannotStart = M{"Cannot start", "Impossible", "Geht nicht"}
	StateTrouble     = M{"Problem", "Problème", "Problem"}
	StateNotNeeded   = M{"Not needed", "Inutile", "Unnötig"}
	Seconds          = M{"%d s", "%d s", "%d s"}
	Minutes          = M{"%d min", "%d min", "%d min"}
	Hours            = M{"%d h %d min", "%d h %d min", "%d Std. %d Min."}
)

// The steps.
var (
	StepPreflight = M{"Checks", "Vérifications", "Prüfungen"}
	StepCard      = M{"Security key", "Clé de sécurité", "Schlüssel"}
	StepDisk      = M{"Disk", "Disque", "Festplatte"}
	StepTPM       = M{"TPM", "TPM", "TPM"}
	StepSeal      = M{"Phone code", "Code mobile", "Handy-Code"}
	StepDUK       = M{"Disk unlocking", "Déverrouillage", "Plattenöffnung"}
	StepBoot      = M{"Start files", "Démarrage", "Startdateien"}
	StepFirmware  = M{"Firmware chip", "Puce firmware", "Firmware-Chip"}
	StepCommit    = M{"Finish", "Fin", "Abschluss"}

	DoesPreflight = M{"everything is measured before the first change", "tout est mesuré avant le premier changement", "alles wird vor der ersten Änderung gemessen"}
	DoesCard      = M{"new keys are made inside it, with your PINs", "de nouvelles clés y sont créées, avec vos codes", "neue Schlüssel entstehen darin, mit Ihren PINs"}
	DoesDisk      = M{"your passphrase, then all data under a new key", "votre phrase, puis tout sous une nouvelle clé", "Ihre Passphrase, dann alles unter neuem Schlüssel"}
	DoesTPM       = M{"cleared and owned with your passphrase", "effacé, puis protégé par votre phrase", "gelöscht und mit Ihrer Passphrase übernommen"}
	DoesSeal      = M{"a new secret for the six digits on your phone", "un nouveau secret pour les six chiffres", "ein neues Geheimnis für die sechs Ziffern"}
	DoesDUK       = M{"the TPM opens the disk for a short passphrase", "le TPM ouvre le disque pour une phrase courte", "das TPM öffnet die Platte für kurze Passphrase"}
	DoesBoot      = M{"measured and signed by you", "mesurés et signés par vous", "gemessen und von Ihnen signiert"}
	DoesFirmware  = M{"your key replaces the seller's", "votre clé remplace celle du vendeur", "Ihr Schlüssel ersetzt den des Verkäufers"}
	DoesCommit    = M{"the new start files count from now on", "les nouveaux fichiers de démarrage comptent", "die neuen Startdateien gelten ab jetzt"}

	LosesCard     = M{"erased; the seller's keys on it are gone", "effacée ; les clés du vendeur disparaissent", "gelöscht; Schlüssel des Verkäufers sind weg"}
	LosesDisk     = M{"files stay; the seller's passphrase and key end", "fichiers gardés ; clé et phrase du vendeur finies", "Dateien bleiben; Schlüssel des Verkäufers endet"}
	LosesTPM      = M{"cleared; what the seller stored in it is gone", "effacé ; ce que le vendeur y a mis disparaît", "gelöscht; was der Verkäufer ablegte, ist weg"}
	LosesSeal     = M{"the seller's six digits end", "les six chiffres du vendeur ne valent plus", "die sechs Ziffern des Verkäufers enden"}
	LosesFirmware = M{"your key replaces the seller's; keep the power on", "votre clé remplace l'autre ; gardez le courant", "Ihr Schlüssel ersetzt den alten; Strom anlassen"}
	LosesCommit   = M{"the seller's signature is not accepted any more", "la signature du vendeur n'est plus acceptée", "die Signatur des Verkäufers gilt nicht mehr"}
)

// What measuring the steps shows.
var (
	CardMissing      = M{"plug in the security key", "branchez la clé de sécurité", "Sicherheitsschlüssel einstecken"}
	CardHalfReset    = M{"a reset was begun", "remise à zéro commencée", "Zurücksetzen begonnen"}
	CardNoReceipt    = M{"new keys, receipt missing", "clés créées, reçu manquant", "neue Schlüssel, Beleg fehlt"}
	CardDone         = M{"your key %s", "votre clé %s", "Ihr Schlüssel %s"}
	CardNotYours     = M{"%s %s", "%s %s", "%s %s"}
	DiskNone         = M{"no encrypted disk", "pas de disque chiffré", "keine verschlüsselte Platte"}
	DiskDone         = M{"%d under your key", "%d sous votre clé", "%d unter Ihrem Schlüssel"}
	DiskPart         = M{"%d%% under the new key", "%d%% sous la nouvelle clé", "%d%% unter neuem Schlüssel"}
	DiskNotYours     = M{"%d to do, %s", "%d à faire, %s", "%d offen, %s"}
	DiskRate         = M{"%s of %s, %d MB/s, %s left", "%s sur %s, %d Mo/s, reste %s", "%s von %s, %d MB/s, noch %s"}
	DiskOf           = M{"%s of %s", "%s sur %s", "%s von %s"}
	TPMNone          = M{"none in this computer", "aucun dans cet ordinateur", "keins in diesem Rechner"}
	TPMDone          = M{"TPM %s, yours", "TPM %s, à vous", "TPM %s, Ihres"}
	TPMNotYours      = M{"TPM %s", "TPM %s", "TPM %s"}
	SealNone         = M{"neither TPM nor token", "ni TPM ni jeton", "weder TPM noch Token"}
	SealLater        = M{"after the TPM", "après le TPM", "nach dem TPM"}
	SealNotYours     = M{"no secret of yours yet", "pas encore votre secret", "noch kein Geheimnis von Ihnen"}
	SealDone         = M{"sealed to the new firmware", "scellé au nouveau firmware", "an die neue Firmware gebunden"}
	AfterRestart     = M{"after a restart", "après un redémarrage", "nach einem Neustart"}
	DUKNotChosen     = M{"not chosen", "pas choisi", "nicht gewählt"}
	DUKNotYours      = M{"no key of yours yet", "pas encore votre clé", "noch kein Schlüssel von Ihnen"}
	DUKDone          = M{"sealed to firmware and disk", "scellé au firmware et au disque", "an Firmware und Platte gebunden"}
	DUKLeft          = M{"left to the firmware's own menu", "laissé au menu du micrologiciel", "dem Menü der Firmware überlassen"}
	BootNotYours     = M{"not signed by you", "pas signés par vous", "nicht von Ihnen signiert"}
	BootStaged       = M{"signed and ready", "signés et prêts", "signiert und bereit"}
	BootInstalled    = M{"signed and in place", "signés et en place", "signiert und aktiv"}
	FirmwareDone     = M{"trusts your key only", "n'admet que votre clé", "vertraut nur Ihrem Schlüssel"}
	FirmwareNotYours = M{"trusts the seller's key", "admet la clé du vendeur", "vertraut dem Verkäufer"}
	CommitNot        = M{"the hand-over is still open", "la remise est encore ouverte", "die Übergabe ist noch offen"}
	CommitDone       = M{"the hand-over is closed", "la remise est close", "die Übergabe ist beendet"}
)

// Start, keyboard and problems.
var (
	StartSeller     = M{"This computer was prepared by %s for order %s. You will now make it yours.", "Cet ordinateur a été préparé par %s, commande %s. Vous allez maintenant en prendre possession.", "Dieser Rechner wurde von %s für den Auftrag %s vorbereitet. Jetzt machen Sie ihn zu Ihrem."}
	StartUnknown    = M{"This computer was prepared by a seller. You will now make it yours.", "Cet ordinateur a été préparé par un vendeur. Vous allez maintenant en prendre possession.", "Dieser Rechner wurde von einem Verkäufer vorbereitet. Jetzt machen Sie ihn zu Ihrem."}
	StartTime       = M{"Answering takes about 15 minutes. Then the computer works alone, up to an hour for a large disk.", "Répondre prend environ 15 minutes. Puis l'ordinateur travaille seul, jusqu'à une heure pour un grand disque.", "Die Fragen dauern etwa 15 Minuten. Dann arbeitet der Rechner allein, bei großer Platte bis zu einer Stunde."}
	StartNeed       = M{"You need:", "Il vous faut :", "Sie brauchen:"}
	StartNeedKey    = M{" - the security key from the other parcel, plugged in", " - la clé de sécurité de l'autre colis, branchée", " - den Sicherheitsschlüssel aus dem anderen Paket, eingesteckt"}
	StartNeedPhone  = M{" - your phone, with an app for six-digit codes", " - votre téléphone, avec une application de codes à six chiffres", " - Ihr Telefon mit einer App für sechsstellige Codes"}
	StartNeedPaper  = M{" - pen and paper, and nobody looking over your shoulder", " - un stylo, du papier, et personne derrière vous", " - Stift und Papier, und niemanden, der zusieht"}
	StartNeedPower  = M{" - the power supply, plugged in", " - l'alimentation, branchée", " - das Netzteil, eingesteckt"}
	StartNothingYet = M{"Nothing is changed before you confirm it on the last page.", "Rien n'est changé avant votre accord à la dernière page.", "Nichts wird geändert, bevor Sie es auf der letzten Seite bestätigen."}
	StartHelp       = M{"The computer asks all its questions first. You may leave at any page; nothing has changed then. Afterwards it works alone, and if the power fails it goes on at the next start.", "L'ordinateur pose d'abord toutes ses questions. Vous pouvez quitter à chaque page ; rien n'a alors changé. Ensuite il travaille seul, et reprend au prochain démarrage si le courant manque.", "Der Rechner stellt zuerst alle Fragen. Sie können auf jeder Seite gehen; dann hat sich nichts geändert. Danach arbeitet er allein und macht nach einem Stromausfall beim nächsten Start weiter."}

	PlugIn    = M{"Plug in your security key.", "Branchez votre clé de sécurité.", "Stecken Sie Ihren Sicherheitsschlüssel ein."}
	PlugInWhy = M{"The computer needs it to see what has been done and what is left. Wait for its light, then try again.", "L'ordinateur en a besoin pour voir ce qui est fait et ce qui reste. Attendez sa lumière, puis réessayez.", "Der Rechner braucht ihn, um zu sehen, was fertig ist und was fehlt. Warten Sie auf das Licht, dann noch einmal."}

	KeyboardAsk    = M{"Press these keys, one after the other. They should look the same below.", "Pressez ces touches l'une après l'autre. Elles doivent apparaître telles quelles en bas.", "Drücken Sie diese Tasten nacheinander. Unten muss dasselbe erscheinen."}
	KeyboardEcho   = M{"You typed", "Vous tapez", "Getippt"}
	KeyboardWhy    = M{"If they differ, pick your layout, or remember: the secrets made for you use only keys that are the same on US, German and French keyboards.", "Si elles diffèrent, choisissez votre clavier, ou retenez ceci : les secrets créés pour vous n'utilisent que des touches identiques sur les claviers US, allemand et français.", "Wenn etwas abweicht, wählen Sie Ihre Belegung. Die für Sie erzeugten Geheimnisse benutzen nur Tasten, die auf US-, deutschen und französischen Tastaturen gleich sind."}
	KeyboardHelp   = M{"The firmware may know only the US layout. What is typed here must be typed the same way at every start.", "Le micrologiciel ne connaît peut-être que le clavier US. Ce que vous tapez ici devra être tapé de même à chaque démarrage.", "Die Firmware kennt vielleicht nur die US-Belegung. Was Sie hier tippen, müssen Sie bei jedem Start genauso tippen."}
	KeyboardCannot = M{"This firmware cannot load the layout %s. It types as it did before.", "Ce micrologiciel ne peut pas charger le clavier %s. Rien ne change.", "Diese Firmware kann die Belegung %s nicht laden. Es bleibt wie vorher."}

	ProblemsIntro   = M{"This must be put right first:", "Ceci doit d'abord être réglé :", "Zuerst muss dies in Ordnung sein:"}
	ProblemDevice   = M{"The %s cannot be used: %s", "%s ne peut être utilisé : %s", "%s ist nicht benutzbar: %s"}
	RemedyDevice    = M{"Try again. If it stays so, stop here.", "Réessayez. Si cela persiste, arrêtez ici.", "Noch einmal versuchen. Bleibt es so: hier aufhören."}
	ProblemPower    = M{"The computer runs on its battery (%d%%).", "L'ordinateur est sur batterie (%d%%).", "Der Rechner läuft mit Akku (%d%%)."}
	RemedyPower     = M{"Plug in the power supply.", "Branchez l'alimentation.", "Stecken Sie das Netzteil ein."}
	ProblemClock    = M{"The clock says %s UTC, which is in the past.", "L'horloge indique %s UTC, dans le passé.", "Die Uhr zeigt %s UTC, das ist vorbei."}
	RemedyClock     = M{"Set the clock.", "Réglez l'heure.", "Stellen Sie die Uhr."}
	ProblemCard     = M{"No security key is plugged in.", "Aucune clé de sécurité n'est branchée.", "Kein Sicherheitsschlüssel ist eingesteckt."}
	RemedyCard      = M{"Plug it in and wait for its light.", "Branchez-la et attendez sa lumière.", "Einstecken und auf das Licht warten."}
	ProblemCardOld  = M{"This security key (%s) can make none of the keys that are needed.", "Cette clé (%s) ne sait créer aucune des clés voulues.", "Dieser Schlüssel (%s) kann keinen der nötigen Schlüssel erzeugen."}
	ProblemNoReset  = M{"This security key (%s) has no factory reset.", "Cette clé (%s) n'a pas de remise à zéro.", "Dieser Schlüssel (%s) lässt sich nicht zurücksetzen."}
	RemedyCardOld   = M{"Use another security key.", "Utilisez une autre clé.", "Benutzen Sie einen anderen."}
	ProblemFormat   = M{"%s is of the old kind %s, which cannot be re-encrypted safely.", "%s est de l'ancien type %s, non rechiffrable sans risque.", "%s ist vom alten Typ %s und nicht sicher umzuschlüsseln."}
	RemedyFormat    = M{"Ask the seller, or convert it with cryptsetup first.", "Demandez au vendeur, ou convertissez-le avec cryptsetup.", "Verkäufer fragen oder erst mit cryptsetup umwandeln."}
	ProblemKeyslots = M{"Nothing can open %s: it has no keyslot.", "Rien ne peut ouvrir %s : aucun emplacement de clé.", "Nichts öffnet %s: kein Schlüsselfach belegt."}
	RemedyKeyslots  = M{"Stop here and ask the seller.", "Arrêtez ici et demandez au vendeur.", "Hier aufhören und den Verkäufer fragen."}
	ProblemMemory   = M{"Opening the disk needs %d MiB of memory; %d MiB are free.", "Ouvrir le disque demande %d Mio ; %d Mio sont libres.", "Das Öffnen braucht %d MiB Speicher; frei sind %d MiB."}
	RemedyMemory    = M{"Ask the seller for a passphrase with less memory cost.", "Demandez au vendeur une phrase moins gourmande en mémoire.", "Den Verkäufer um eine sparsamere Passphrase bitten."}
	ProblemEntries  = M{"Nothing in /boot can start by default.", "Rien dans /boot ne peut démarrer par défaut.", "In /boot kann nichts von selbst starten."}
	RemedyEntries   = M{"Stop here and ask the seller.", "Arrêtez ici et demandez au vendeur.", "Hier aufhören und den Verkäufer fragen."}
)

// Verify.
var (
	VerifyAsk        = M{"Is this the computer that was sent to you?", "Est-ce bien l'ordinateur qui vous a été envoyé ?", "Ist das der Rechner, der Ihnen geschickt wurde?"}
	VerifyQuestion   = M{"Do the digits and the words match what you were sent? Nothing has been changed yet.", "Les chiffres et les mots concordent-ils avec ce que vous avez reçu ? Rien n'a encore été changé.", "Stimmen Ziffern und Wörter mit dem überein, was Sie bekamen? Noch ist nichts geändert."}
	VerifyBad        = M{"This could not be shown. If you are not sure why, stop here. Nothing has been changed.", "Cela n'a pas pu être montré. Si vous ne savez pas pourquoi, arrêtez ici. Rien n'a été changé.", "Das ließ sich nicht zeigen. Wenn Sie nicht wissen warum, hören Sie hier auf. Nichts ist geändert."}
	VerifyHelp       = M{"The seller signed a list of what the computer, its firmware and its disk were like. The computer has compared itself with it. The six digits come from a secret that only the untouched computer and your phone know; the words are the same as in the seller's e-mail if the list is the same.", "Le vendeur a signé une liste décrivant l'ordinateur, son micrologiciel et son disque. L'ordinateur s'y est comparé. Les six chiffres viennent d'un secret connu du seul ordinateur intact et de votre téléphone ; les mots sont ceux du courriel du vendeur si la liste est la même.", "Der Verkäufer hat eine Liste signiert: wie Rechner, Firmware und Platte waren. Der Rechner hat sich damit verglichen. Die sechs Ziffern kommen aus einem Geheimnis, das nur der unberührte Rechner und Ihr Telefon kennen; die Wörter gleichen denen in der E-Mail, wenn die Liste dieselbe ist."}
	VerifyCodeLabel  = M{"Phone shows", "Le mobile", "Telefon zeigt"}
	VerifyCode       = M{"%s   (next in %d s)", "%s   (suivant dans %d s)", "%s   (nächste in %d s)"}
	VerifyNoCode     = M{"no digits: the TPM does not open its secret", "pas de chiffres : le TPM n'ouvre pas son secret", "keine Ziffern: das TPM öffnet sein Geheimnis nicht"}
	VerifyNoSecret   = M{"the seller put no secret for digits into this computer", "le vendeur n'a pas mis de secret dans cet ordinateur", "der Verkäufer hat kein Geheimnis hineingelegt"}
	VerifyWordsLabel = M{"E-mail says", "Le courriel", "E-Mail sagt"}
	VerifyWords      = M{"%s", "%s", "%s"}
	ItemCard         = M{"Security key", "Clé", "Schlüssel"}
	ItemHandover     = M{"Signed list", "Liste signée", "Signierte Liste"}
	ItemFirmware     = M{"Firmware", "Micrologiciel", "Firmware"}
	ItemBoot         = M{"Start files", "Démarrage", "Startdateien"}
	ItemDisk         = M{"Disk", "Disque", "Festplatte"}
	ItemTPM          = M{"TPM", "TPM", "TPM"}
	ItemPass         = M{"as listed: %s", "conforme : %s", "wie gelistet: %s"}
	ItemFail         = M{"NOT as listed: %s", "NON conforme : %s", "NICHT wie gelistet: %s"}
	ItemNone         = M{"the seller gave nothing to compare with", "le vendeur n'a rien fourni à comparer", "der Verkäufer gab nichts zum Vergleich"}

	StopNothing    = M{"Nothing has been changed on this computer.", "Rien n'a été changé sur cet ordinateur.", "An diesem Rechner wurde nichts geändert."}
	StopNoMore     = M{"Nothing more was changed. What is done stays done; your files are intact.", "Rien d'autre n'a été changé. Ce qui est fait reste fait ; vos fichiers sont intacts.", "Sonst wurde nichts geändert. Was fertig ist, bleibt; Ihre Dateien sind unversehrt."}
	StopClock      = M{"If only the six digits differ, the clock may be wrong: compare it with the line above, once.", "Si seuls les six chiffres diffèrent, l'heure est peut-être fausse : comparez-la, une fois, avec la ligne du haut.", "Weichen nur die sechs Ziffern ab, geht vielleicht die Uhr falsch: einmal mit der Zeile oben vergleichen."}
	StopNoSecrets  = M{"Do not type any passphrase or PIN into it.", "N'y tapez aucune phrase secrète ni aucun code.", "Tippen Sie keine Passphrase und keine PIN ein."}
	StopPhoto      = M{"Photograph the previous page and this one.", "Photographiez la page précédente et celle-ci.", "Fotografieren Sie die vorige Seite und diese."}
	StopContact    = M{"Ask the seller at the address on YOUR order, not at one that came with the parcel.", "Interrogez le vendeur à l'adresse de VOTRE commande, pas à une adresse venue avec le colis.", "Fragen Sie den Verkäufer unter der Adresse auf IHRER Bestellung, nicht unter einer aus dem Paket."}
	UnprovenTitle  = M{"Go on without proof?", "Continuer sans preuve ?", "Ohne Beweis weitermachen?"}
	UnprovenWhat   = M{"If somebody changed this computer on its way, taking ownership does not undo that: a changed firmware can do as if it were replaced.", "Si quelqu'un a modifié cet ordinateur en route, en prendre possession n'y change rien : un micrologiciel modifié peut faire semblant d'être remplacé.", "Hat jemand diesen Rechner unterwegs verändert, hilft die Übernahme nicht dagegen: eine veränderte Firmware kann so tun, als wäre sie ersetzt."}
	UnprovenSerial = M{"If you accept that, type the last characters of the disk's serial number.", "Si vous l'acceptez, tapez la fin du numéro de série du disque.", "Wenn Sie das hinnehmen, tippen Sie das Ende der Seriennummer der Platte."}
	TypeLabel      = M{"Type %s", "Tapez %s", "%s tippen"}
	SerialLabel    = M{"Type %s, the end of the disk's number", "Tapez %s, fin du numéro du disque", "%s tippen, das Ende der Plattennummer"}
	SerialWrong    = M{"That is not %s.", "Ce n'est pas %s.", "Das ist nicht %s."}
)

// Secrets.
var (
	CurrentAsk    = M{"The passphrase that opens the disk now", "La phrase qui ouvre le disque actuellement", "Die Passphrase, die die Platte jetzt öffnet"}
	CurrentLabel  = M{"Passphrase", "Phrase", "Passphrase"}
	CurrentWhy    = M{"The seller gave it to you, with the e-mail or in the parcel. It is needed once, to put your own in its place.", "Le vendeur vous l'a donnée, par courriel ou dans le colis. Elle sert une fois, pour mettre la vôtre à sa place.", "Der Verkäufer gab sie Ihnen per E-Mail oder im Paket. Sie wird einmal gebraucht, um Ihre eigene einzusetzen."}
	CurrentHelp   = M{"Tab shows what you type. Nothing is changed by trying.", "Tab montre ce que vous tapez. Essayer ne change rien.", "Tab zeigt, was Sie tippen. Ein Versuch ändert nichts."}
	CurrentResume = M{"If you have written down a new one already, it may be that one.", "Si vous en avez déjà noté une nouvelle, c'est peut-être celle-là.", "Haben Sie schon eine neue notiert, ist es vielleicht diese."}
	CurrentWrong  = M{"This passphrase does not open the disk. Check capital letters and the keyboard.", "Cette phrase n'ouvre pas le disque. Vérifiez les majuscules et le clavier.", "Diese Passphrase öffnet die Platte nicht. Großschreibung und Tastatur prüfen."}

	WhoAsk     = M{"Who makes your secrets?", "Qui crée vos secrets ?", "Wer macht Ihre Geheimnisse?"}
	WhoAdvice  = M{"Made ones are plain words, easy to write and to type on any keyboard. Nobody else has ever seen them.", "Ceux créés pour vous sont des mots simples, faciles à noter et à taper partout. Personne ne les a jamais vus.", "Erzeugte bestehen aus einfachen Wörtern, leicht zu notieren und überall zu tippen. Niemand sonst hat sie gesehen."}
	WhoHelp    = M{"If you choose them yourself, each is typed twice. Do not use one that you use elsewhere.", "Si vous les choisissez, chacun est tapé deux fois. N'en réutilisez aucun.", "Wählen Sie selbst, wird jedes zweimal getippt. Benutzen Sie keines, das Sie schon haben."}
	SecretDisk = M{"DISK PASSPHRASE", "PHRASE DU DISQUE", "PLATTEN-PASSPHRASE"}
	SecretUser = M{"KEY PIN", "CODE DE LA CLÉ", "SCHLÜSSEL-PIN"}

	SecretAdmin     = M{"KEY ADMIN PIN", "CODE ADMIN", "ADMIN-PIN"}
	SecretOwner     = M{"TPM PASSPHRASE", "PHRASE DU TPM", "TPM-PASSPHRASE"}
	SecretDiskWhen  = M{"Asked at every start. Cannot be reset.", "Demandée à chaque démarrage. Irremplaçable.", "Bei jedem Start gefragt. Nicht ersetzbar."}
	SecretUserWhen  = M{"Asked after each update of the system, to sign it.", "Demandé après chaque mise à jour, pour signer.", "Nach jedem System-Update gefragt, zum Signieren."}
	SecretAdminWhen = M{"Asked when the key itself is changed. Rarely.", "Demandé pour modifier la clé même. Rarement.", "Gefragt, wenn der Schlüssel geändert wird. Selten."}
	SecretOwnerWhen = M{"Asked when the firmware or the phone changes.", "Demandée si le firmware ou le mobile change.", "Gefragt, wenn Firmware oder Telefon wechseln."}

	RecordTitle = M{"Secret %d of %d: %s", "Secret %d sur %d : %s", "Geheimnis %d von %d: %s"}
	RecordHow   = M{"Write it down now: lower case, one space between words. Then type it back from your paper; the words go away when you begin.", "Notez-le maintenant : minuscules, une espace entre les mots. Puis retapez-le depuis votre papier ; les mots disparaissent.", "Jetzt aufschreiben: klein, ein Leerzeichen zwischen Wörtern. Dann vom Papier abtippen; die Wörter verschwinden dabei."}
	RecordKeys  = M{"Strength: %d bits. The letters lie under the same keys on US, German and French keyboards.", "Force : %d bits. Les lettres sont aux mêmes touches sur les claviers US, allemand et français.", "Stärke: %d Bit. Die Buchstaben liegen auf US-, deutschen und französischen Tastaturen gleich."}
	RecordEarly = M{"If an older paper has a disk passphrase, keep it until all is done: after a power cut the disk may still open with that one.", "Si un papier d'avant en porte une, gardez-le jusqu'à la fin : après une coupure le disque peut encore s'ouvrir avec elle.", "Steht schon eine auf einem älteren Papier, behalten Sie es bis zum Ende: nach einem Stromausfall kann die noch gelten."}
	RecordLabel = M{"From paper", "Du papier", "Vom Papier"}
	RecordWrong = M{"Word %d is not right. Look at your paper; empty the line to see the words again.", "Le mot %d n'est pas bon. Regardez votre papier ; videz la ligne pour revoir les mots.", "Wort %d stimmt nicht. Auf das Papier sehen; leere Zeile zeigt die Wörter wieder."}
	RecordHelp  = M{"Paper in a drawer is safer than a photograph, which may travel to a cloud. The QR code is there if you must.", "Un papier dans un tiroir est plus sûr qu'une photo, qui peut partir dans le nuage. Le code QR existe au besoin.", "Papier in der Schublade ist sicherer als ein Foto, das in eine Cloud wandern kann. Der QR-Code ist nur für den Notfall."}

	ChooseAsk    = M{"Your own %s", "Votre propre %s", "Ihre eigene %s"}
	ChooseLength = M{"Between %d and %d characters.", "Entre %d et %d caractères.", "Zwischen %d und %d Zeichen."}
	ChooseLayout = M{"It must be typed on this keyboard at every start, where other layouts may be unknown.", "Se tape sur ce clavier à chaque démarrage, où d'autres dispositions sont peut-être inconnues.", "Sie wird bei jedem Start auf dieser Tastatur getippt, wo andere Belegungen vielleicht fehlen."}
	ChooseHelp   = M{"Write it down before you go on. Tab shows what you type.", "Notez-le avant de continuer. Tab montre ce que vous tapez.", "Schreiben Sie es auf, bevor Sie weitergehen. Tab zeigt, was Sie tippen."}
	ChooseSeller = M{"This one opens the disk now; the seller may know it. Choose another.", "Celle-ci ouvre déjà le disque ; le vendeur la connaît peut-être. Choisissez-en une autre.", "Diese öffnet die Platte schon jetzt; der Verkäufer kennt sie vielleicht. Wählen Sie eine andere."}
	MovesTitle   = M{"Some characters of this secret lie under other keys on other keyboards.", "Certains caractères sont sous d'autres touches sur d'autres claviers.", "Einige Zeichen liegen auf anderen Tastaturen unter anderen Tasten."}
	MovesWhy     = M{"On US, German and French keyboards these move: a, m, q, w, y, z, all digits and nearly all signs. You can keep it if you always type it on this keyboard.", "Entre claviers US, allemand et français se déplacent : a, m, q, w, y, z, les chiffres et presque tous les signes. Gardez-le si vous le tapez toujours sur ce clavier.", "Auf US-, deutschen und französischen Tastaturen wandern: a, m, q, w, y, z, alle Ziffern und fast alle Zeichen. Behalten Sie es, wenn Sie immer diese Tastatur benutzen."}

	PaperAsk   = M{"Type from your paper: %s", "Tapez depuis votre papier : %s", "Vom Papier abtippen: %s"}
	PaperLabel = M{"From paper", "Du papier", "Vom Papier"}
	PaperWrong = M{"That is not it. Look at your paper once more.", "Ce n'est pas cela. Regardez encore votre papier.", "Das ist es nicht. Sehen Sie noch einmal auf das Papier."}
	PINWrong   = M{"Wrong PIN. Tries left: %d.", "Code faux. Essais restants : %d.", "Falsche PIN. Noch %d Versuche."}
	PINBlocked = M{"This PIN is blocked. Go back to the list and choose \"I did not begin this\": the key is then made anew, your files stay.", "Ce code est bloqué. Revenez à la liste et choisissez « Ce n'était pas moi » : la clé est refaite, vos fichiers restent.", "Diese PIN ist gesperrt. In der Liste \"Das war nicht ich\" wählen: der Schlüssel wird neu gemacht, Ihre Dateien bleiben."}
	PINUnblock = M{"This PIN is blocked. Leave, and set a KEY PIN anew with the admin PIN, in the recovery shell: reown card pin unblock. A blocked admin PIN stays blocked.", "Ce code est bloqué. Quittez ; la console de secours refait le CODE DE LA CLÉ avec le code admin : reown card pin unblock. Un code admin bloqué le reste.", "Diese PIN ist gesperrt. Gehen Sie; die Rettungskonsole setzt die SCHLÜSSEL-PIN mit der Admin-PIN neu: reown card pin unblock. Eine gesperrte Admin-PIN bleibt es."}
	LastTry    = M{"This is the last try. Leave, and look for the right paper, if you are not sure.", "C'est le dernier essai. En cas de doute, quittez et cherchez le bon papier.", "Das ist der letzte Versuch. Wenn Sie unsicher sind, gehen Sie und suchen das richtige Papier."}
	TriesLeft  = M{"%s %s, tries left: %d", "%s %s, essais restants : %d", "%s %s, noch %d Versuche"}
)

// Phone, name, disks.
var (
	TOTPAsk   = M{"Scan this with your phone", "Scannez ceci avec votre téléphone", "Mit dem Telefon scannen"}
	TOTPWhy   = M{"Use the app for six-digit codes. At each start, phone and computer must show the same digits.", "Avec l'application de codes à six chiffres. Lors de chaque démarrage, mobile et ordinateur doivent montrer les mêmes chiffres.", "Mit der App für sechsstellige Codes. Bei jedem Start müssen Telefon und Rechner dieselben Ziffern zeigen."}
	TOTPLabel = M{"Six digits", "Six chiffres", "Sechs Ziffern"}
	TOTPSix   = M{"Type the six digits that the phone shows.", "Tapez les six chiffres du téléphone.", "Tippen Sie die sechs Ziffern vom Telefon."}
	TOTPWrong = M{"Other digits. Scan again, then type the present ones.", "Autres chiffres. Rescannez, puis tapez les actuels.", "Andere Ziffern. Neu scannen, dann die jetzigen tippen."}
	TOTPClock = M{"Right secret, other clock: the phone has %s, the computer %s UTC. Set the clock.", "Bon secret, autre heure : le mobile a %s, l'ordinateur %s UTC. Réglez l'heure.", "Richtiges Geheimnis, andere Uhr: Telefon %s, Rechner %s UTC. Uhr stellen."}
	TOTPHelp  = M{"No camera? Show the letters and type them into the app.", "Pas d'appareil photo ? Affichez les lettres et tapez-les dans l'application.", "Keine Kamera? Buchstaben anzeigen und in die App tippen."}

	NameAsk    = M{"Your name on the key", "Votre nom sur la clé", "Ihr Name auf dem Schlüssel"}
	NameWhy    = M{"It is written into the public part of your new key.", "Il est écrit dans la partie publique de votre nouvelle clé.", "Er steht im öffentlichen Teil Ihres neuen Schlüssels."}
	NameEmpty  = M{"Leave both empty if you do not want a name there.", "Laissez vide si vous ne voulez pas de nom.", "Lassen Sie beides leer, wenn Sie keinen Namen möchten."}
	NameLabel  = M{"Name", "Nom", "Name"}
	EmailLabel = M{"E-mail", "Courriel", "E-Mail"}
	NameBad    = M{"A name cannot contain these: < > @ ( ) \\ \"", "Un nom ne peut contenir : < > @ ( ) \\ \"", "Ein Name darf dies nicht enthalten: < > @ ( ) \\ \""}
	EmailBad   = M{"An e-mail address looks like this: name@example.org", "Une adresse ressemble à ceci : nom@example.org", "Eine Adresse sieht so aus: name@example.org"}

	DisksAsk = M{"Which disks shall be yours?", "Quels disques doivent être à vous ?", "Welche Platten sollen Ihre werden?"}
	DisksWhy = M{"A disk that is left out keeps the seller's passphrase and key.", "Un disque laissé garde la phrase et la clé du vendeur.", "Eine ausgelassene Platte behält Passphrase und Schlüssel des Verkäufers."}
	DiskIn   = M{"yes", "oui", "ja"}
	DiskOut  = M{"left out", "laissé", "nein"}

	ClockAsk   = M{"What time is it, in UTC?", "Quelle heure est-il, en UTC ?", "Wie spät ist es in UTC?"}
	ClockWhy   = M{"UTC is the time without time zone: in Berlin and Paris one hour less in winter, two in summer.", "UTC est l'heure sans fuseau : à Paris, une heure de moins en hiver, deux en été.", "UTC ist die Zeit ohne Zeitzone: in Berlin im Winter eine Stunde weniger, im Sommer zwei."}
	ClockLabel = M{"Date, time", "Date, heure", "Datum, Zeit"}
	ClockBad   = M{"Type it like this: 2026-11-22 17:41", "Tapez-le ainsi : 2026-11-22 17:41", "Bitte so: 2026-11-22 17:41"}
	EntryAsk   = M{"Which system starts by default?", "Quel système démarre par défaut ?", "Welches System startet von selbst?"}
)

// Check and change.
var (
	CheckIntro     = M{"Check, then start. After this the seller's access ends and cannot come back.", "Vérifiez, puis démarrez. Ensuite, le vendeur n'a plus aucun accès.", "Prüfen, dann starten. Danach endet der Zugang des Verkäufers für immer."}
	CheckSoon      = M{"%s: some minutes at most", "%s : quelques minutes au plus", "%s: höchstens einige Minuten"}
	CheckTime      = M{"%s: %s to %s", "%s : %s à %s", "%s: %s bis %s"}
	CheckRecorded  = M{"Your secrets are on your paper; they have been typed back.", "Vos secrets sont sur votre papier ; ils ont été retapés.", "Ihre Geheimnisse stehen auf Ihrem Papier; sie wurden abgetippt."}
	CheckPower     = M{"A power failure is safe, except in the seconds when the firmware chip is written. If it happens, switch on and choose Continue.", "Une panne de courant est sans danger, sauf les secondes où la puce est écrite. Le cas échéant, rallumez et choisissez Continuer.", "Stromausfall schadet nicht, außer in den Sekunden, in denen der Chip beschrieben wird. Dann einschalten und Weiter wählen."}
	CheckRestart   = M{"The phone code comes after a restart: in this start the TPM cannot be told what the next one will measure.", "Le code mobile viendra après un redémarrage : cette fois, le TPM ne peut savoir ce que mesurera le prochain.", "Der Handy-Code kommt nach einem Neustart: diesmal ist nicht sicher, was der nächste messen wird."}
	CheckEntry     = M{"Starts by default: %s", "Démarre par défaut : %s", "Startet von selbst: %s"}
	CheckHelp      = M{"Nothing has been changed so far. Typing the disk's serial number proves that you mean this computer.", "Rien n'a été changé jusqu'ici. Taper le numéro du disque prouve que vous parlez de cet ordinateur.", "Bisher wurde nichts geändert. Die Seriennummer zeigt, dass Sie diesen Rechner meinen."}
	ChangeAsk      = M{"Which answer do you want to change?", "Quelle réponse voulez-vous changer ?", "Welche Antwort möchten Sie ändern?"}
	ChangeSecrets  = M{"Secrets", "Secrets", "Geheimnisse"}
	ChangeName     = M{"Name", "Nom", "Name"}
	ChangeKeyboard = M{"Keyboard", "Clavier", "Tastatur"}
	ChangeDisks    = M{"Disks", "Disques", "Platten"}
	ChangeEntry    = M{"System to start", "Système", "System"}
)

// The run and its end.
var (
	RunTitle     = M{"Taking ownership", "Prise de possession en cours", "Wird in Besitz genommen"}
	NoteMayLeave = M{"You may leave. If the power fails, switch on and choose Continue.", "Vous pouvez partir. Si le courant manque, rallumez et choisissez Continuer.", "Sie können gehen. Bei Stromausfall einschalten und Weiter wählen."}
	NotePause    = M{"Safe to pause here: press P.", "Pause sans danger ici : touche P.", "Pause ist hier möglich: Taste P."}
	NoteSafe     = M{"A power failure does no harm here.", "Une panne de courant ne nuit pas ici.", "Ein Stromausfall schadet hier nicht."}
	NoteUnsafe   = M{"DO NOT SWITCH OFF: the firmware chip is being written.", "NE PAS ÉTEINDRE : la puce du micrologiciel est en écriture.", "NICHT AUSSCHALTEN: der Firmware-Chip wird beschrieben."}
	NoteTouchOf  = M{"Touch the security key now (touch %d of %d).", "Touchez la clé de sécurité maintenant (%d sur %d).", "Berühren Sie jetzt den Sicherheitsschlüssel (%d von %d)."}
	NoteTouch    = M{"Touch the security key now.", "Touchez la clé de sécurité maintenant.", "Berühren Sie jetzt den Sicherheitsschlüssel."}
	PausedText   = M{"Paused. Switch off if you like; at the next start choose Continue. Your files are intact.", "En pause. Éteignez si vous voulez ; au prochain démarrage, choisissez Continuer. Vos fichiers sont intacts.", "Pause. Sie können ausschalten; beim nächsten Start Weiter wählen. Ihre Dateien sind unversehrt."}
	FailedTitle  = M{"This step did not work.", "Cette étape n'a pas marché.", "Dieser Schritt hat nicht geklappt."}
	FailedWhat   = M{"What happened", "Constat", "Was geschah"}
	FailedData   = M{"Your data", "Vos données", "Ihre Daten"}
	FailedDo     = M{"What to do", "Que faire", "Was tun"}

	DoneTitle          = M{"This computer is yours.", "Cet ordinateur est à vous.", "Dieser Rechner gehört Ihnen."}
	DoneReference      = M{"Reference", "Référence", "Nummer"}
	DoneOwner          = M{"Your key", "Votre clé", "Ihr Schlüssel"}
	DoneChecks         = M{"None of the seller's secrets opens anything any more: %d of %d checked.", "Plus aucun secret du vendeur n'ouvre rien : %d sur %d vérifiés.", "Kein Geheimnis des Verkäufers öffnet noch etwas: %d von %d geprüft."}
	CheckPassphrase    = M{"the old disk passphrase opens no disk", "l'ancienne phrase n'ouvre aucun disque", "die alte Passphrase öffnet keine Platte"}
	CheckVolumeKey     = M{"the disk has another key", "le disque a une autre clé", "die Platte hat einen anderen Schlüssel"}
	CheckFirmwareKey   = M{"the firmware trusts your key only", "le micrologiciel n'admet que votre clé", "die Firmware vertraut nur Ihrem Schlüssel"}
	CheckBootSignature = M{"the start files are signed by you", "les fichiers de démarrage sont signés par vous", "die Startdateien sind von Ihnen signiert"}
	CheckTPM           = M{"the TPM has another root", "le TPM a une autre racine", "das TPM hat eine andere Wurzel"}
	DoneNext           = M{"Put the paper in a safe place. The signed certificate is in /boot/kexec_reown.certificate.", "Rangez le papier en lieu sûr. Le certificat signé est dans /boot/kexec_reown.certificate.", "Legen Sie das Papier an einen sicheren Ort. Das signierte Zertifikat liegt in /boot/kexec_reown.certificate."}
	DoneGreen          = M{"At each start, compare the six digits with your phone, or look for the green light of the key.", "Lors de chaque démarrage, comparez les six chiffres avec le mobile, ou guettez la lumière verte de la clé.", "Vergleichen Sie bei jedem Start die sechs Ziffern mit dem Telefon, oder achten Sie auf das grüne Licht."}

	TamperingTitle  = M{"STOP: somebody changed this computer", "STOP : quelqu'un a modifié cet ordinateur", "STOPP: jemand hat den Rechner verändert"}
	TamperingWhat   = M{"This computer has an owner already, and something in it asks to be taken over. It is not offered.", "Cet ordinateur a déjà un propriétaire, et quelque chose demande à le reprendre. Ce n'est pas proposé.", "Dieser Rechner hat schon einen Besitzer, und etwas darin will ihn neu vergeben. Das wird nicht angeboten."}
	TamperingWhy    = M{"Seen: %s.", "Constaté : %s.", "Gesehen: %s."}
	TamperingData   = M{"Nothing has been changed by this program. Your files are as they were.", "Ce programme n'a rien changé. Vos fichiers sont comme avant.", "Dieses Programm hat nichts geändert. Ihre Dateien sind wie vorher."}
	TamperingDo     = M{"If you are the owner: type no passphrase, start the recovery shell, look at /boot, and remove the file /boot/oem if nothing else differs. If you have lost your security key, \"reown wizard --lost-key\" there begins anew.", "Si vous êtes le propriétaire : ne tapez aucune phrase, ouvrez la console de secours, examinez /boot, et supprimez /boot/oem si rien d'autre ne diffère. Si vous avez perdu votre clé, \"reown wizard --lost-key\" y recommence tout.", "Sind Sie der Besitzer: keine Passphrase tippen, Rettungskonsole starten, /boot ansehen und /boot/oem löschen, wenn sonst nichts abweicht. Ist Ihr Sicherheitsschlüssel verloren, beginnt dort \"reown wizard --lost-key\" von vorn."}
	TamperingBought = M{"If you have just bought it, and your seller gave you no hand-over file: the firmware's key may be his. Compare it.", "Si vous venez de l'acheter, et sans fichier de remise du vendeur : la clé du micrologiciel est peut-être la sienne. Comparez-la.", "Haben Sie ihn gerade gekauft, und ohne Übergabedatei des Verkäufers: Der Schlüssel der Firmware kann seiner sein. Vergleichen Sie ihn."}

	ResumeTitle   = M{"This was interrupted. Your files are intact.", "Ceci a été interrompu. Vos fichiers sont intacts.", "Das wurde unterbrochen. Ihre Dateien sind unversehrt."}
	ResumeWhere   = M{"Goes on with: %s. You will be asked only for the secrets that are still needed, from your paper.", "Suite : %s. On ne vous demandera que les secrets encore nécessaires, depuis votre papier.", "Weiter mit: %s. Gefragt wird nur nach Geheimnissen, die noch nötig sind, von Ihrem Papier."}
	ResumeHelp    = M{"The list is measured now, from the key, the disk, the TPM, the chip and /boot. What is done is not done again.", "La liste est mesurée maintenant, sur la clé, le disque, le TPM, la puce et /boot. Ce qui est fait n'est pas refait.", "Die Liste ist jetzt gemessen: an Schlüssel, Platte, TPM, Chip und /boot. Was fertig ist, wird nicht wiederholt."}
	ResumeChanged = M{"STOP: since the interruption something was changed that this program did not change.", "STOP : depuis l'interruption, quelque chose a changé sans ce programme.", "STOPP: seit der Unterbrechung wurde etwas verändert, nicht von diesem Programm."}
	AnewTitle     = M{"Begin anew?", "Recommencer à zéro ?", "Neu beginnen?"}
	AnewWhat      = M{"If you did not begin this run, somebody else did, and may know its secrets. Beginning anew makes new keys and secrets for everything; a disk that is half done is finished first.", "Si vous n'avez pas commencé, quelqu'un d'autre l'a fait et peut connaître ces secrets. Recommencer crée partout de nouvelles clés ; un disque à moitié traité est d'abord achevé.", "Haben Sie das nicht begonnen, war es jemand anders, der die Geheimnisse kennen mag. Neu beginnen erzeugt alles neu; eine halb fertige Platte wird zuerst beendet."}
)

// The TPM disk unlock key.
var (
	SecretDUK       = M{"START PASSPHRASE", "PHRASE DE DÉMARRAGE", "START-PASSPHRASE"}
	SecretDUKWhen   = M{"Asked at every start, for the disk. Ten tries.", "Demandée à chaque démarrage. Dix essais.", "Bei jedem Start gefragt. Zehn Versuche."}
	SecretDiskSpare = M{"Asked when the start passphrase does not work. Cannot be reset.", "Demandée si celle de démarrage échoue. Irremplaçable.", "Gefragt, wenn die Start-Passphrase versagt. Nicht ersetzbar."}
	DUKAsk          = M{"Shall the TPM open the disk at each start?", "Le TPM doit-il ouvrir le disque à chaque démarrage ?", "Soll das TPM bei jedem Start die Platte öffnen?"}
	DUKWhat         = M{"If so, a short passphrase is asked at each start, and the TPM gives the disk's key only while firmware and disk are as you signed them.", "Si oui, une phrase courte est demandée à chaque démarrage, et le TPM ne donne la clé du disque que si le micrologiciel et le disque sont tels que vous les avez signés.", "Dann wird bei jedem Start eine kurze Passphrase gefragt, und das TPM gibt den Schlüssel der Platte nur her, solange Firmware und Platte so sind, wie Sie sie signiert haben."}
	DUKAdvice       = M{"The long one is still needed, after a change of the firmware for example. Without this, it is asked at each start.", "La longue reste nécessaire, par exemple après un changement du micrologiciel. Sans cela, elle est demandée à chaque démarrage.", "Die lange bleibt nötig, zum Beispiel nach einer Änderung der Firmware. Ohne dies wird sie bei jedem Start gefragt."}
	DUKOldTPM       = M{"This TPM (1.2) hands the key over in clear: who opens the case and records one start has the key of the disk.", "Ce TPM (1.2) transmet la clé en clair : qui ouvre le boîtier et enregistre un démarrage a la clé du disque.", "Dieses TPM (1.2) gibt den Schlüssel im Klartext heraus: wer das Gehäuse öffnet und einen Start mitschneidet, hat ihn."}
	DUKHelp         = M{"Heads calls this the TPM Disk Unlock Key. It can be set up, changed and dropped later, in the firmware's menu.", "Heads l'appelle TPM Disk Unlock Key. On peut la créer, la changer ou l'abandonner plus tard, dans le menu du micrologiciel.", "Heads nennt das TPM Disk Unlock Key. Es lässt sich später im Menü der Firmware einrichten, ändern und abschaffen."}
	DUKNotNow       = M{"The disk is opened with its own passphrase.", "Le disque s'ouvrira avec sa propre phrase.", "Die Platte wird mit ihrer eigenen Passphrase geöffnet."}
	DUKNotNowWhy    = M{"The TPM could open it for a shorter one, but what this firmware loads before it opens the disk is not known for sure now.", "Le TPM pourrait l'ouvrir pour une phrase courte, mais ce que ce micrologiciel charge avant d'ouvrir le disque n'est pas sûr pour l'instant.", "Das TPM könnte sie für eine kürzere öffnen, doch was diese Firmware vorher lädt, ist jetzt nicht sicher bekannt."}
	DUKNotNowName   = M{"The TPM could open it for a shorter one, but the installed system might then not find it: it names the disk in a way of its own.", "Le TPM pourrait l'ouvrir pour une phrase courte, mais le système installé pourrait alors ne pas le trouver : il nomme le disque à sa façon.", "Das TPM könnte sie für eine kürzere öffnen, doch das installierte System fände sie dann vielleicht nicht: es benennt sie auf eigene Weise."}
	DUKNotNowHow    = M{"If you want that, set it up after the first start: Options, Boot Options, Show OS boot menu, make it the default.", "Si vous le voulez, après le premier démarrage : Options, Boot Options, Show OS boot menu, puis système par défaut.", "Wenn Sie das möchten, nach dem ersten Start: Options, Boot Options, Show OS boot menu, als Standard setzen."}
)

// A restart before the run is over.
var (
	RestartTitle = M{"The computer must restart once before this is finished.", "L'ordinateur doit redémarrer une fois avant la fin.", "Der Rechner muss einmal neu starten, bevor alles fertig ist."}
	RestartSeal  = M{"In this start the TPM cannot be told what the next one will measure; the phone code is made after the restart. All the rest is done.", "Cette fois, le TPM ne peut savoir ce que mesurera le prochain démarrage ; le code mobile sera créé ensuite. Tout le reste est fait.", "Diesmal ist nicht sicher, was der nächste Start messen wird; der Handy-Code kommt nach dem Neustart. Alles andere ist fertig."}
	RestartTPM   = M{"The TPM asks for a restart before it goes on.", "Le TPM demande un redémarrage avant de continuer.", "Das TPM verlangt einen Neustart, bevor es weitergeht."}
	RestartThen  = M{"Let it start normally, then choose Continue. Have your paper and your phone ready.", "Laissez-le démarrer normalement, puis choisissez Continuer. Préparez votre papier et votre téléphone.", "Lassen Sie ihn normal starten und wählen Sie Weiter. Halten Sie Papier und Telefon bereit."}
)

// What the front ends say themselves.
var (
	StepOf     = M{"Step %d of %d", "Étape %d sur %d", "Schritt %d von %d"}
	KeyMove    = M{"Tab move", "Tab suivant", "Tab weiter"}
	KeyShow    = M{"Tab show/hide", "Tab montrer", "Tab zeigen"}
	KeyEnter   = M{"Enter choose", "Entrée choisir", "Enter wählen"}
	KeyHelp    = M{"F1 help", "F1 aide", "F1 Hilfe"}
	KeyDetails = M{"F2 details", "F2 détails", "F2 Details"}
	KeyBack    = M{"Esc back", "Échap retour", "Esc zurück"}
	KeyLeave   = M{"F10 leave", "F10 quitter", "F10 verlassen"}
	KeyClose   = M{"Any key closes this.", "Une touche ferme ceci.", "Jede Taste schließt dies."}
	KeyMore    = M{"PgDn more", "PgSv suite", "Bild ab: mehr"}
	KeyPause   = M{"P pause", "P pause", "P Pause"}
	Checking   = M{"Checking ...", "Vérification ...", "Wird geprüft ..."}
	Again      = M{"Again", "Encore", "Noch einmal"}
	NotTheSame = M{"The two lines are not the same.", "Les deux lignes diffèrent.", "Die zwei Zeilen sind verschieden."}
	Needed     = M{"Please fill in: %s", "Remplissez : %s", "Bitte ausfüllen: %s"}
	CapsLock   = M{"CAPS LOCK IS ON", "MAJUSCULES ACTIVES", "FESTSTELLTASTE AN"}
	TooSmall   = M{"This needs a screen of 80 x 24.", "Il faut un écran de 80 x 24.", "Es braucht ein Fenster von 80 x 24."}
	Elapsed    = M{"Running for %s", "En cours depuis %s", "Läuft seit %s"}
	Pausing    = M{"Pausing at the next safe point ...", "Pause au prochain point sûr ...", "Pause am nächsten sicheren Punkt ..."}

	LineChoose  = M{"Choose", "Choix", "Wahl"}
	LineBack    = M{"back", "retour", "zurück"}
	LineLeave   = M{"leave", "quitter", "verlassen"}
	LineHelp    = M{"help", "aide", "Hilfe"}
	LineDetails = M{"details", "détails", "Details"}
	LineNone    = M{"There is no choice %s.", "Il n'y a pas de choix %s.", "Es gibt keine Wahl %s."}
	LineHidden  = M{"Write it down, then press Enter; it will be scrolled away.", "Notez-le, puis Entrée ; il sortira de l'écran.", "Aufschreiben, dann Enter; es verschwindet."}
)
