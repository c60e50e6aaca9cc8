package msg

// Who sold the computer.
var (
	ItemSeller = M{"Seller's key", "Clé vendeur", "Verkäufer"}
	ItemTo     = M{"Handed to", "Remis à", "Übergeben an"}

	SellerSame  = M{"%s, as you said", "%s, comme indiqué", "%s, wie angegeben"}
	SellerOther = M{"NOT the one you gave: %s", "PAS celle indiquée : %s", "NICHT der angegebene: %s"}
	HandedOther = M{"SOMEBODY ELSE: %s", "QUELQU'UN D'AUTRE : %s", "JEMAND ANDEREN: %s"}

	ButtonFingerprint = M{"Type the key", "Taper la clé", "Schlüssel tippen"}
	ButtonWords       = M{"The words match", "Les mots concordent", "Die Wörter stimmen"}

	SellerAsk   = M{"Who sold you this computer?", "Qui vous a vendu cet ordinateur ?", "Wer hat Ihnen diesen Rechner verkauft?"}
	SellerRow   = M{"%s, on %s", "%s, le %s", "%s, am %s"}
	SellerCame  = M{"The first seller's key came with the computer, so it proves nothing by itself. Type the fingerprint that you were told when you ordered, all 40 characters; spaces do not matter.", "La clé du premier vendeur est arrivée avec l'ordinateur, elle ne prouve donc rien seule. Tapez l'empreinte indiquée lors de la commande, les 40 caractères ; les espaces ne comptent pas.", "Der Schlüssel des ersten Verkäufers kam mit dem Rechner und beweist allein nichts. Tippen Sie den Fingerabdruck von der Bestellung, alle 40 Zeichen; Leerzeichen zählen nicht."}
	SellerWords = M{"If you were told the four words instead (%s), by telephone or letter and not with the parcel, you may compare those.", "Si on vous a donné les quatre mots (%s), par téléphone ou par lettre et non avec le colis, vous pouvez les comparer.", "Haben Sie stattdessen die vier Wörter (%s) bekommen, per Telefon oder Brief und nicht mit dem Paket, dürfen Sie diese vergleichen."}
	SellerLabel = M{"Fingerprint", "Empreinte", "Fingerabdruck"}
	SellerWrong = M{"None of those who handed this computer on has that key. Look for a typing error; if there is none, stop here.", "Aucun de ceux qui ont transmis cet ordinateur n'a cette clé. Cherchez une faute de frappe ; s'il n'y en a pas, arrêtez ici.", "Niemand, der diesen Rechner weitergab, hat diesen Schlüssel. Prüfen Sie auf Tippfehler; gibt es keinen, hören Sie hier auf."}
	SellerHelp  = M{"Each of them has signed to whom he handed the computer, and the last signature is also by the key in the firmware. So the list cannot be changed or carried to another computer; but a stranger could have begun one of his own. Knowing one key of it from elsewhere excludes that.", "Chacun a signé à qui il remettait l'ordinateur, et la dernière signature est aussi celle de la clé du micrologiciel. La liste ne peut donc être changée ni portée sur un autre ordinateur ; mais un inconnu aurait pu en commencer une. Connaître une de ses clés par ailleurs l'exclut.", "Jeder hat signiert, wem er den Rechner übergab, und die letzte Signatur stammt auch vom Schlüssel in der Firmware. Die Liste lässt sich also weder ändern noch auf einen anderen Rechner übertragen; aber ein Fremder könnte eine eigene begonnen haben. Wer einen Schlüssel daraus anderswoher kennt, schließt das aus."}
)
