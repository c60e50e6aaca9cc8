package wizard

import (
	"time"

	"reown/wizard/msg"
)

// short is a fingerprint as people compare it: its first and last eight digits.
func short(fpr string) string {
	if len(fpr) != 40 {
		return fpr
	}
	return fpr[:4] + " " + fpr[4:8] + " ... " + fpr[32:36] + " " + fpr[36:]
}

func percent(done, total int64) int64 {
	if total <= 0 {
		return 0
	}
	return int64(float64(done) / float64(total) * 100)
}

// minutes rounds a duration up, as a person would say it.
func minutes(d time.Duration, l msg.Lang) string {
	switch m := int((d + time.Minute - 1) / time.Minute); {
	case d < time.Minute:
		return msg.Seconds.In(l, int(d.Seconds()))
	case m < 120:
		return msg.Minutes.In(l, m)
	default:
		return msg.Hours.In(l, m/60, m%60)
	}
}
