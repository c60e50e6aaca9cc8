package msg

// Backup of the key: the questions.
var (
	BackupAsk        = M{"Where else shall the keys of your security key be kept?", "Où garder un double des clés de votre clé de sécurité ?", "Wo sollen die Schlüssel Ihres Sicherheitsschlüssels noch liegen?"}
	BackupNoneLabel  = M{"Nowhere", "Nulle part", "Nirgends"}
	BackupNone       = M{"If it is lost or breaks, you take ownership once more with another one. You lose time, no data: the disk opens with its passphrase.", "Si elle est perdue ou cassée, vous reprenez possession avec une autre. Vous perdez du temps, pas de données : le disque s'ouvre avec sa phrase.", "Geht er verloren oder kaputt, übernehmen Sie den Rechner mit einem anderen noch einmal. Das kostet Zeit, keine Daten: die Platte öffnet ihre Passphrase."}
	BackupStickLabel = M{"USB stick", "Clé USB", "USB-Stick"}
	BackupStick      = M{"A file on it, under one more passphrase, from which another security key can be filled.", "Un fichier, sous une phrase de plus, d'où remplir une autre clé de sécurité.", "Eine Datei unter einer weiteren Passphrase; daraus lässt sich ein anderer Sicherheitsschlüssel füllen."}
	BackupCardLabel  = M{"Second key", "Seconde clé", "Zweitschlüssel"}
	BackupCard       = M{"Another security key. It is erased and gets the same keys and PINs, but shows no green light.", "Une autre clé de sécurité. Elle est effacée et reçoit les mêmes clés et codes, mais sans lumière verte.", "Ein anderer Sicherheitsschlüssel. Er wird gelöscht und bekommt dieselben Schlüssel und PINs, zeigt aber kein grünes Licht."}
	BackupHow        = M{"With a backup the keys are made in this computer's memory, which is wiped afterwards, not inside the security key.", "Avec un double, les clés naissent dans la mémoire de cet ordinateur, effacée ensuite, et non dans la clé de sécurité.", "Mit Kopie entstehen die Schlüssel im Speicher dieses Rechners, der danach gelöscht wird, statt im Sicherheitsschlüssel."}
	BackupHelp       = M{"The security key signs the start files after each system update. It does not open the disk. A backup cannot be made later: keys that were made inside the security key never leave it.", "La clé de sécurité signe les fichiers de démarrage après chaque mise à jour. Elle n'ouvre pas le disque. Impossible de faire un double plus tard : des clés créées dans la clé de sécurité n'en sortent jamais.", "Der Sicherheitsschlüssel signiert die Startdateien nach jedem Systemupdate. Er öffnet nicht die Platte. Später geht keine Kopie mehr: was im Sicherheitsschlüssel entsteht, verlässt ihn nie."}
	ButtonNoBackup   = M{"No backup", "Pas de double", "Keine Kopie"}
	ButtonToStick    = M{"USB stick", "Clé USB", "USB-Stick"}
	ButtonToCard     = M{"Second security key", "Seconde clé de sécurité", "Zweiter Sicherheitsschlüssel"}
	ChangeBackup     = M{"Backup of the key", "Double de la clé", "Kopie des Schlüssels"}
	CheckStick       = M{"gets your keys in a file, under your passphrase", "reçoit vos clés, sous votre phrase", "bekommt Ihre Schlüssel, unter Ihrer Passphrase"}
	CheckSpare       = M{"erased; it gets the same keys and PINs", "effacée ; reçoit les mêmes clés et codes", "gelöscht; bekommt dieselben Schlüssel und PINs"}

	StickAsk    = M{"Which USB stick shall the backup go to? Leave it plugged in.", "Sur quelle clé USB mettre le double ? Laissez-la branchée.", "Auf welchen USB-Stick soll die Kopie? Lassen Sie ihn stecken."}
	StickLabel  = M{"Stick %d", "Clé USB %d", "Stick %d"}
	ButtonStick = M{"Stick %d", "Clé USB %d", "Stick %d"}
	StickNone   = M{"There is no USB stick with a file system (FAT, ext4) here. Plug one in, wait a few seconds, and choose Try again.", "Il n'y a pas ici de clé USB avec un système de fichiers (FAT, ext4). Branchez-en une, attendez un peu, puis choisissez Réessayer.", "Hier steckt kein USB-Stick mit einem Dateisystem (FAT, ext4). Stecken Sie einen ein, warten Sie kurz und wählen Sie Noch einmal."}
	StickKeeps  = M{"What is on it stays. An older backup of the same security key is replaced.", "Ce qu'elle contient reste. Un double plus ancien de la même clé de sécurité est remplacé.", "Was darauf ist, bleibt. Eine ältere Kopie desselben Sicherheitsschlüssels wird ersetzt."}
	StickHelp   = M{"The stick is not formatted; a few kilobytes are added to it. Disks inside the computer are never listed here.", "La clé USB n'est pas formatée ; quelques kilo-octets y sont ajoutés. Les disques internes ne sont jamais proposés ici.", "Der Stick wird nicht formatiert; einige Kilobyte kommen dazu. Platten im Rechner stehen hier nie."}

	SecretBackup     = M{"BACKUP PASSPHRASE", "PHRASE DU DOUBLE", "KOPIE-PASSPHRASE"}
	SecretBackupWhen = M{"Asked when the backup on the USB stick is used. Keep them apart.", "Demandée pour utiliser le double sur clé USB. Rangez-la ailleurs.", "Gefragt, wenn die Kopie auf dem Stick gebraucht wird. Getrennt verwahren."}
)

// Backup of the key: during the run.
var (
	PlugSpare       = M{"Take out your security key and plug in the second one.", "Retirez votre clé de sécurité et branchez la seconde.", "Ziehen Sie Ihren Sicherheitsschlüssel ab und stecken Sie den zweiten ein."}
	PlugSpareWhat   = M{"Nothing has been changed yet. The next page shows which one it is, before anything on it is erased.", "Rien n'a encore été changé. La page suivante montre laquelle c'est, avant que rien n'y soit effacé.", "Noch ist nichts geändert. Die nächste Seite zeigt, welcher es ist, bevor etwas darauf gelöscht wird."}
	PlugMain        = M{"The second security key is ready. Take it out, and plug in the first one again.", "La seconde clé de sécurité est prête. Retirez-la et rebranchez la première.", "Der zweite Sicherheitsschlüssel ist fertig. Ziehen Sie ihn ab und stecken Sie wieder den ersten ein."}
	PlugMainWhat    = M{"Mark the second one, and keep it in another place. It signs like the first, but shows no green light: only one key can. On the day it takes the first one's place, choose in the firmware's menu to make a new TOTP/HOTP secret.", "Marquez la seconde et gardez-la ailleurs. Elle signe comme la première, mais sans lumière verte : une seule clé le peut. Le jour où elle remplace la première, créez un nouveau secret TOTP/HOTP dans le menu du micrologiciel.", "Kennzeichnen Sie den zweiten und verwahren Sie ihn woanders. Er signiert wie der erste, zeigt aber kein grünes Licht: das kann nur einer. Ersetzt er eines Tages den ersten, so erzeugen Sie im Menü der Firmware ein neues TOTP/HOTP-Geheimnis."}
	PlugShown       = M{"Another security key is in the computer now. Plug in the one that you were shown.", "Une autre clé de sécurité est branchée. Rebranchez celle qui vous a été montrée.", "Jetzt steckt ein anderer Sicherheitsschlüssel. Stecken Sie den ein, der angezeigt wurde."}
	PlugShownWhat   = M{"Only that one is erased. Nothing on the other has been changed.", "Seule celle-là est effacée. Rien n'a été changé sur l'autre.", "Nur dieser wird gelöscht. Auf dem anderen wurde nichts geändert."}
	PlugOutLabel    = M{"Take out", "Retirer", "Abziehen"}
	PlugInLabel     = M{"Plug in", "Brancher", "Einstecken"}
	PlugSerial      = M{"the one with the number %s", "celle qui porte le numéro %s", "den mit der Nummer %s"}
	PlugNone        = M{"No security key is plugged in.", "Aucune clé de sécurité n'est branchée.", "Es steckt kein Sicherheitsschlüssel."}
	PlugSeveral     = M{"Leave only one security key plugged in.", "Ne laissez qu'une seule clé de sécurité branchée.", "Lassen Sie nur einen Sicherheitsschlüssel stecken."}
	PlugStillMain   = M{"This is still the first security key, number %s.", "C'est encore la première clé de sécurité, numéro %s.", "Das ist noch der erste Sicherheitsschlüssel, Nummer %s."}
	PlugMainMissing = M{"This is not the first security key. Its number is %s.", "Ce n'est pas la première clé de sécurité. Son numéro est %s.", "Das ist nicht der erste Sicherheitsschlüssel. Seine Nummer ist %s."}
	PlugOtherKind   = M{"%s %s takes no keys of the kind that the first one takes. Use another one.", "%s %s n'accepte pas le type de clés de la première. Prenez-en une autre.", "%s %s nimmt keine Schlüssel der Art, die der erste nimmt. Nehmen Sie einen anderen."}
	PlugNoReset     = M{"%s %s has no factory reset. Use another one.", "%s %s n'a pas de remise à zéro. Prenez-en une autre.", "%s %s lässt sich nicht zurücksetzen. Nehmen Sie einen anderen."}
	PlugOtherPIN    = M{"%s %s takes PINs of %d to %d characters, and yours do not fit. Use another one.", "%s %s veut des codes de %d à %d caractères ; les vôtres n'y vont pas. Prenez-en une autre.", "%s %s nimmt PINs von %d bis %d Zeichen, Ihre passen nicht. Nehmen Sie einen anderen."}
	SpareErase      = M{"Shall this security key be erased and become your second one?", "Effacer cette clé de sécurité pour en faire votre seconde ?", "Soll dieser Sicherheitsschlüssel gelöscht werden und Ihr zweiter sein?"}
	SpareEmpty      = M{"There are no keys on it.", "Elle ne contient pas de clés.", "Es sind keine Schlüssel darauf."}
	SpareHolds      = M{"It holds the key %s, which will be gone.", "Elle contient la clé %s, qui disparaîtra.", "Darauf ist der Schlüssel %s, der dann weg ist."}
	SpareAfter      = M{"It gets the same keys as the first, and the two PINs that you have written down.", "Elle reçoit les mêmes clés que la première, et les deux codes que vous avez notés.", "Er bekommt dieselben Schlüssel wie der erste und die zwei PINs, die Sie notiert haben."}
	ButtonEraseKey  = M{"Erase this one", "Effacer celle-ci", "Diesen löschen"}
	ButtonOtherKey  = M{"Use another one", "En prendre une autre", "Einen anderen nehmen"}
	ButtonWithout   = M{"Go on without a backup", "Continuer sans double", "Ohne Kopie weiter"}
	StickMissing    = M{"The USB stick for the backup is not there. Plug it in, or choose another one.", "La clé USB pour le double n'est pas là. Branchez-la ou choisissez-en une autre.", "Der USB-Stick für die Kopie fehlt. Stecken Sie ihn ein oder wählen Sie einen anderen."}
)

// The certificate on a stick.
var (
	ButtonCopy = M{"Copy this to a USB stick", "Copier sur une clé USB", "Auf einen USB-Stick kopieren"}
	ButtonSkip = M{"No, restart the computer", "Non, redémarrer", "Nein, neu starten"}
	CopyAsk    = M{"Which USB stick shall the certificate go to? Nothing in it is secret.", "Sur quelle clé USB mettre le certificat ? Il ne contient rien de secret.", "Auf welchen USB-Stick soll das Zertifikat? Nichts darin ist geheim."}
	CopyDone   = M{"These files were written to the USB stick and read back. You may pull it out.", "Ces fichiers ont été écrits sur la clé USB et relus. Vous pouvez la retirer.", "Diese Dateien wurden auf den USB-Stick geschrieben und zurückgelesen. Sie können ihn abziehen."}
	CopyNext   = M{"The text is for you; gpg verifies it and the other form with the key in the last file.", "Le texte est pour vous ; gpg vérifie les deux formes avec la clé du dernier fichier.", "Der Text ist für Sie; gpg prüft beide Formen mit dem Schlüssel in der letzten Datei."}
)

// The green light.
var (
	CheckTouch = M{"the seller's six digits end; touch the key %d times", "chiffres du vendeur finis ; touchez la clé %d fois", "Verkäufer-Ziffern enden; Schlüssel %d-mal berühren"}

	ProblemToken = M{"The firmware of the security key is too old, or made without its secrets app: it could not show the green light.", "Le micrologiciel de la clé de sécurité est trop ancien ou sans application de secrets : pas de lumière verte possible.", "Die Firmware des Sicherheitsschlüssels ist zu alt oder hat keine Secrets-App: er könnte das grüne Licht nicht zeigen."}
	RemedyToken  = M{"Update it on another computer (Nitrokey 3: nitropy nk3 update), or use another security key.", "Mettez-la à jour sur un autre ordinateur (Nitrokey 3 : nitropy nk3 update) ou prenez-en une autre.", "Aktualisieren Sie ihn an einem anderen Rechner (Nitrokey 3: nitropy nk3 update) oder nehmen Sie einen anderen."}
)
