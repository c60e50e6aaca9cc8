package msg

// Who sold the computer.
var (
	ItemSeller = M{"Seller's key", "Clé vendeur", "Verkäufer"}
	ItemTo     = M{"Handed to", "Remis à", "Übergeben an"}

	SellerSame  = M{"%s, as you said", "%s, comme indiqué", "%s, wie angegeben"}
	SellerOther = M{"NOT the one you gave: %s", "PAS celle indiquée : %s", "NICHT der angegebene: %s"}
	HandedOther = M{"SOMEBODY ELSE: %s", "QUELQU'UN D'AUTRE : %s", "JEMAND ANDEREN: %s"}

	ButtonFingerprint = M{"Type the key", "Taper la clé", "Schlüssel tippen"}

	SellerAsk       = M{"Who sold you this computer?", "Qui vous a vendu cet ordinateur ?", "Wer hat Ihnen diesen Rechner verkauft?"}
	SellerRow       = M{"%s, on %s", "%s, le %s", "%s, am %s"}
	SellerCame      = M{"A key that came with the computer proves nothing by itself. Type the fingerprint that the last one in this list, who sold it to you, told you when you ordered, all 40 characters; spaces do not matter.", "Une clé arrivée avec l'ordinateur ne prouve rien seule. Tapez l'empreinte que le dernier de cette liste, qui vous l'a vendu, a indiquée lors de la commande, les 40 caractères ; les espaces ne comptent pas.", "Ein Schlüssel, der mit dem Rechner kam, beweist allein nichts. Tippen Sie den Fingerabdruck, den der Letzte dieser Liste, Ihr Verkäufer, bei der Bestellung nannte, alle 40 Zeichen; Leerzeichen zählen nicht."}
	SellerLabel     = M{"Fingerprint", "Empreinte", "Fingerabdruck"}
	SellerWrong     = M{"That is not the key of the last one in the list. Look for a typing error; if there is none, stop here.", "Ce n'est pas la clé du dernier de la liste. Cherchez une faute de frappe ; s'il n'y en a pas, arrêtez ici.", "Das ist nicht der Schlüssel des Letzten der Liste. Prüfen Sie auf Tippfehler; gibt es keinen, hören Sie hier auf."}
	SellerElsewhere = M{"Nothing in this computer says who sold it. Type the fingerprint of the seller's key as you know it from elsewhere, from his web site or your order, all 40 characters; spaces do not matter.", "Rien dans cet ordinateur ne dit qui l'a vendu. Tapez l'empreinte de la clé du vendeur que vous connaissez par ailleurs, par son site ou votre commande, les 40 caractères ; les espaces ne comptent pas.", "Nichts in diesem Rechner sagt, wer ihn verkauft hat. Tippen Sie den Fingerabdruck des Verkäufer-Schlüssels, den Sie anderswoher kennen, von seiner Website oder Ihrer Bestellung, alle 40 Zeichen; Leerzeichen zählen nicht."}
	SellerNotIt     = M{"That is not the key that the firmware trusts. Look for a typing error; if there is none, stop here.", "Ce n'est pas la clé à laquelle le micrologiciel se fie. Cherchez une faute de frappe ; s'il n'y en a pas, arrêtez ici.", "Das ist nicht der Schlüssel, dem die Firmware vertraut. Prüfen Sie auf Tippfehler; gibt es keinen, hören Sie hier auf."}
	SellerHelp      = M{"Each of them has signed to whom he handed the computer, and the last signature is also by the key in the firmware. So the list cannot be changed or carried to another computer; but a stranger could have begun one of his own, or bought a computer and added himself to its list. What the computer is now is the word of the last one: his key must be known to you from elsewhere.", "Chacun a signé à qui il remettait l'ordinateur, et la dernière signature est aussi celle de la clé du micrologiciel. La liste ne peut donc être changée ni portée sur un autre ordinateur ; mais un inconnu aurait pu en commencer une, ou acheter un ordinateur et s'ajouter à sa liste. L'état actuel repose sur la parole du dernier : vous devez connaître sa clé par ailleurs.", "Jeder hat signiert, wem er den Rechner übergab, und die letzte Signatur stammt auch vom Schlüssel in der Firmware. Die Liste lässt sich also weder ändern noch auf einen anderen Rechner übertragen; aber ein Fremder könnte eine eigene begonnen oder einen Rechner gekauft und sich in dessen Liste eingetragen haben. Für den jetzigen Zustand steht der Letzte ein: Seinen Schlüssel müssen Sie anderswoher kennen."}
)
