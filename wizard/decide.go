package wizard

import "reown/internal/judge"

// decide and phaseOf are the only ways to the judge. Tests blind it, to see that the games they play
// against the wizard are lost then.
var (
	decide  = judge.Judge
	phaseOf = judge.PhaseOf
)
