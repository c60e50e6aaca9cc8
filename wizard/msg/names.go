package msg

// M names a sentence. Each language's file has its texts; English is the fallback.
type M uint16

// The sentences.
const (
	None M = iota // no text
	// Verbatim carries a text that comes from elsewhere, an error for example.
	Verbatim

	// Frame and buttons.
	Title
	ChooseLanguage
	StatusLine
	LayoutUnknown
	PowerMains
	PowerBattery
	PowerUnknown

	ButtonContinue
	ButtonRetry
	ButtonEnd
	ButtonBattery
	ButtonClock
	ButtonMatch
	ButtonNotSure
	ButtonUnproven
	ButtonLeaveOut
	ButtonMake
	ButtonOwn
	ButtonKeep
	ButtonOther
	ButtonAnother
	ButtonQR
	ButtonHide
	ButtonLetters
	ButtonErase
	ButtonChange
	ButtonDisk
	ButtonAnew
	ButtonDUKYes
	ButtonDUKNo
	ButtonRestart

	// Words for the state of a step.
	StateNotStarted
	StateInProgress
	StateCompleted
	StateCannotStart
	StateTrouble
	StateNotNeeded
	Seconds
	Minutes
	Hours

	// The steps.
	StepPreflight
	StepCard
	StepDisk
	StepTPM
	StepSeal
	StepDUK
	StepBoot
	StepFirmware
	StepCommit

	DoesPreflight
	DoesCard
	DoesDisk
	DoesTPM
	DoesSeal
	DoesDUK
	DoesBoot
	DoesFirmware
	DoesCommit

	LosesCard
	LosesDisk
	LosesTPM
	LosesSeal
	LosesFirmware
	LosesCommit

	// What measuring the steps shows.
	CardMissing
	CardHalfReset
	CardNoReceipt
	CardDone
	CardNotYours
	DiskNone
	DiskDone
	DiskPart
	DiskNotYours
	DiskRate
	DiskOf
	TPMNone
	TPMDone
	TPMNotYours
	SealNone
	SealLater
	SealNotYours
	SealDone
	AfterRestart
	DUKNotChosen
	DUKNotYours
	DUKDone
	DUKLeft
	BootNotYours
	BootStaged
	BootInstalled
	FirmwareDone
	FirmwareNotYours
	CommitNot
	CommitDone

	// Start, keyboard and problems.
	StartSeller
	StartUnknown
	StartTime
	StartNeed
	StartNeedKey
	StartNeedPhone
	StartNeedPaper
	StartNeedPower
	StartNothingYet
	StartHelp

	PlugIn
	PlugInWhy

	KeyboardAsk
	KeyboardEcho
	KeyboardOnly
	KeyboardWhy
	KeyboardHelp
	KeyboardCannot

	ProblemsIntro
	ProblemDevice
	RemedyDevice
	ProblemPower
	RemedyPower
	ProblemClock
	RemedyClock
	ProblemCard
	RemedyCard
	ProblemCardOld
	ProblemNoReset
	RemedyCardOld
	ProblemKeyslots
	RemedyKeyslots
	ProblemMemory
	RemedyMemory
	ProblemEntries
	RemedyEntries

	// Verify.
	VerifyAsk
	VerifyQuestion
	VerifyBad
	VerifyHelp
	VerifyCodeLabel
	VerifyCode
	VerifyNoCode
	VerifyNoSecret
	VerifyWordsLabel
	VerifyWords
	ItemCard
	ItemHandover
	ItemFirmware
	ItemBoot
	ItemDisk
	ItemTPM
	ItemPass
	ItemFail
	ItemNone

	StopNothing
	StopNoMore
	StopClock
	StopNoSecrets
	StopPhoto
	StopContact
	UnprovenTitle
	UnprovenWhat
	UnprovenSerial
	TypeLabel
	SerialLabel
	SerialWrong

	// Secrets.
	CurrentAsk
	CurrentLabel
	TryDone
	TryAsk
	TryWhy
	TryLabel
	TryWrong
	TryOther
	ButtonTry
	CurrentWhy
	CurrentHelp
	CurrentResume
	CurrentWrong

	WhoAsk
	WhoAdvice
	WhoHelp
	SecretDisk
	SecretUser

	SecretAdmin
	SecretOwner
	SecretDiskWhen
	SecretUserWhen
	SecretAdminWhen
	SecretOwnerWhen

	RecordTitle
	RecordHow
	RecordKeys
	RecordEarly
	RecordLabel
	RecordWrong
	RecordHelp

	ChooseAsk
	ChooseLength
	ChooseLayout
	ChooseHelp
	ChooseSeller
	MovesTitle
	MovesWhy

	PaperAsk
	PaperLabel
	PaperWrong
	PINWrong
	PINBlocked
	PINUnblock
	LastTry
	TriesLeft

	// Phone, name, disks.
	TOTPAsk
	TOTPLetters
	TOTPWhy
	TOTPLabel
	TOTPSix
	TOTPWrong
	TOTPClock
	TOTPHelp

	NameAsk
	NameWhy
	NameEmpty
	NameLabel
	EmailLabel
	NameBad
	EmailBad

	DisksAsk
	DisksWhy
	DiskIn
	DiskOut

	ClockAsk
	ClockWhy
	ClockLabel
	ClockBad
	EntryAsk

	// Check and change.
	CheckIntro
	CheckSoon
	CheckTime
	CheckRecorded
	CheckPower
	CheckRestart
	CheckCount
	CheckUnknown
	CheckEntry
	CheckHelp
	ChangeAsk
	ChangeSecrets
	ChangeName
	ChangeKeyboard
	ChangeDisks
	ChangeEntry

	// The run and its end.
	RunTitle
	NoteMayLeave
	NotePause
	NoteSafe
	NoteUnsafe
	NoteTouchOf
	NoteTouch
	PausedText
	FailedTitle
	FailedWhat
	FailedData
	FailedDo

	DoneTitle
	DoneReference
	DoneOwner
	DoneChecks
	CheckPassphrase
	CheckVolumeKey
	CheckFirmwareKey
	CheckBootSignature
	CheckTPM
	DoneNext
	DoneGreen
	DoneDigits
	DoneLight

	TamperingTitle
	TamperingWhat
	TamperingWhy
	TamperingData
	TamperingDo
	NamesWhat
	NamesNone
	NamesSign
	NamesSignAll
	NamesMore
	TamperingBought

	ResumeTitle
	ResumeWhere
	ResumeHelp
	ResumeChanged
	AnewTitle
	AnewWhat

	// The TPM disk unlock key.
	SecretDUK
	SecretDUKWhen
	SecretDiskSpare
	DUKAsk
	DUKWhat
	DUKAdvice
	DUKOldTPM
	DUKHelp
	DUKNotNow
	DUKNotNowWhy
	DUKNotNowName
	DUKNotNowHow

	// A restart before the run is over.
	RestartTitle
	RestartSeal
	RestartTPM
	RestartThen

	// What the front ends say themselves.
	StepOf
	KeyMove
	KeyShow
	KeyEnter
	KeyHelp
	KeyDetails
	KeyBack
	KeyLeave
	KeyClose
	KeyMore
	KeyPause
	Checking
	Again
	NotTheSame
	Needed
	Pick
	CapsLock
	TooSmall
	Elapsed
	Pausing

	LineChoose
	LineBack
	LineLeave
	LineHelp
	LineDetails
	LineAnew
	LineNone
	LineHidden

	// Backup of the key: the questions.
	BackupAsk
	BackupNoneLabel
	BackupNone
	BackupStickLabel
	BackupStick
	BackupCardLabel
	BackupCard
	BackupHow
	BackupHelp
	ButtonNoBackup
	ButtonToStick
	ButtonToCard
	ChangeBackup
	CheckStick
	CheckSpare

	StickAsk
	StickLabel
	ButtonStick
	StickNone
	StickKeeps
	StickHelp

	SecretBackup
	SecretBackupWhen

	// Backup of the key: during the run.
	PlugSpare
	PlugSpareWhat
	PlugMain
	PlugMainWhat
	PlugShown
	PlugShownWhat
	PlugOutLabel
	PlugInLabel
	PlugSerial
	PlugNone
	PlugSeveral
	PlugStillMain
	PlugMainMissing
	PlugOtherKind
	PlugNoReset
	PlugOtherPIN
	SpareErase
	SpareEmpty
	SpareHolds
	SpareAfter
	ButtonEraseKey
	ButtonOtherKey
	ButtonWithout
	StickMissing

	// The certificate on a stick.
	ButtonCopy
	ButtonSkip
	CopyAsk
	CopyDone
	CopyNext

	// The green light.
	CheckTouch

	ProblemToken
	RemedyToken

	// What becomes of the firmware chip's other content.
	ChipShared
	ChipTaken
	ChipWhyCommand
	ChipWhySetting
	ChipWhyValue
	ChipLost

	// Who sold the computer.
	ItemSeller
	ItemTo

	SellerSame
	SellerOther
	HandedOther

	ButtonFingerprint

	SellerAsk
	SellerRow
	SellerCame
	SellerLabel
	SellerWrong
	SellerElsewhere
	SellerNotIt
	SellerHelp

	// What the judge says.
	PaperOtherRun

	ClosingWhat
	ClosingSigned
	ClosingLock

	TamperingRemove
	ButtonRemove

	TailWhat
	TailType

	// The certificate on paper: what a finished run can show.
	PaperTitle
	PaperWhat

	PaperBoard
	PaperOwner
	PaperOwnerKey
	PaperCard
	PaperSeller
	PaperSellerKey
	PaperStatement
	PaperOrder

	PaperChecks
	PaperAll
	PaperNotAll
	PaperUnknown
	PaperPlain
	PaperAlone

	CheckNot
	CheckSince
	PaperSlots
	CheckSecondRead
	CheckSealed
	CheckSeller
	CheckSellersCard
	CheckAllEncrypted

	PaperMeasured
	PaperVolume
	PaperRoot
	PaperFirmware

	PaperLimits
	PaperNotTried
	PaperNotSeller
	PaperNotHardware
	PaperNotFirmware
	PaperNotWatched

	PaperVerify
	PaperHow
	PaperFiles

	// What a rehearsal finds.
	ProblemAlgorithm
	ProblemReach
	ProblemSeveral
	RemedySeveral
	ProblemPIN
	RemedyPIN
	ProblemImport
	RemedyNoBackup
	ProblemNoise
	RemedyNoise
	ProblemUnseen
	RemedyUnseen
	ButtonNoise
	ProblemRefuses
	ProblemAmbiguous
	RemedyLeaveOut
	RemedyAlone
	ProblemEntry
	RemedyEntry
	ButtonEntry
	ButtonMore
	ProblemOdd
	RemedyOdd
	ProblemFull
	RemedyFull
	ProblemFixed
	RemedyFixed
	ProblemBootDisk

	ProblemLocked
	RemedyLocked
	ProblemNoRoom
	ProblemLayout
	RemedyLayout

	ProblemTPMBank
	RemedyTPMBank
	ProblemTPMKeyType
	ProblemTPMSlots
	RemedyWithoutDUK
	ProblemTPMRoom
	ProblemTPMPresence
	RemedyTPMPresence
	ProblemTPMLocked
	ProblemTPMNoEK

	// CannotCompare is a line of a verification that the machine does not answer now.
	CannotCompare

	// MovesSystem is said of a disk passphrase whose characters move.
	MovesSystem

	// What the program does between two pages, where that takes seconds.
	PleaseWait
	WaitSeconds
	WaitMeasure
	WaitVerify
	WaitRestart

	// Why somebody is stopped.
	WhyTouchedTrigger
	WhyTriggerIsOdd
	WhySignedTrigger
	WhyAreaIsClosed
	WhyReceiptIsOld
	WhyCardHasOtherKey
	WhyCardDoesNotCount
	WhyChipTrustsNobody
	WhyChipTrustsSeveral
	WhyChipIsHalfAndNoRun
	WhyReleaseBegun
	WhyUnreadAnchor

	// What the computer compares with the seller's list.
	CompareNothing
	CompareStatements
	CompareLists
	CompareUnread
	CompareBare
	CompareSerial
	CompareChipItself
	CompareKeys
	CompareChip
	CompareRoot
	CompareSecret
	CompareFiles
	CompareElsewhere
	CompareReset
	VerdictPass
	VerdictFail
	VerdictNone
	VerdictUnread
	VerdictBare
	SignedBy

	// Units and numbers.
	Megabytes
	Gigabytes
	DecimalPoint

	// What an error means, by the device that it is of; English has a text for each error.
	AboutCard
	AboutDisk
	AboutTPM
	AboutChip
	AboutBoot
	AboutStick
	AboutRun
	DataSame
	DataStep
	DoAgain
	DoNoSecret
	DoContinue
	Technical
	ErrorSecret
	ErrorSecretDo
	ErrorLeft
	ErrorLeftDo
	ErrorPaused
	ErrorPausedData
	ErrorPowerCut
	ErrorScreen

	// What was never written on a disk, and what cannot be read.
	ButtonFill
	ButtonUnused
	ButtonLose
	CheckSpan
	CheckLooked
	CheckSkipped
	CheckFilled
	CheckBad
	CheckConverts
	PaperSkipped
	PaperFilled
	PaperLost

	// Leaving, and what becomes of the paper.
	LeaveNoted
	LeavePhone
	LeaveBegun
	KeyLeaveSure
	LineLeaveSure
	ButtonGoOn
	ButtonOff
	ButtonWords
	ButtonShow
	RecordVoid
	TOTPVoid
	ButtonOnPaper
	KeptWhat
	ResumeCodeLabel
	ResumeCode
	ChooseWeak
	ChooseStrength
	SellerShort
	ChangeDUK
	ChangePhone

	// The language's keyboard.
	KeyboardPropose

	// What is removed or kept, what differs, and what a security key does.
	ChangeLanguage
	ChipGoes
	ChipFiles
	ChipSettings
	ChipKeeps
	NameMissing
	NameUnread
	NameChanged
	NameAdded
	NameUnsigned
	NameGone
	NameOrder
	ErrorPulled
	ErrorBusy
	ErrorUnanswered
	ErrorTouch
	ErrorExchanged
	ErrorExchangedDo
	ErrorPlugDo
	ErrorTouchDo

	count
)
