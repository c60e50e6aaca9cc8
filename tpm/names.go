package tpm

import (
	"encoding/binary"
	"fmt"
)

var v2Names = map[uint32]string{
	0x11f: "TPM2_NV_UndefineSpaceSpecial", 0x120: "TPM2_EvictControl", 0x121: "TPM2_HierarchyControl",
	0x122: "TPM2_NV_UndefineSpace", 0x126: "TPM2_Clear", 0x127: "TPM2_ClearControl",
	0x129: "TPM2_HierarchyChangeAuth", 0x12a: "TPM2_NV_DefineSpace", 0x131: "TPM2_CreatePrimary",
	0x134: "TPM2_NV_Increment", 0x137: "TPM2_NV_Write", 0x139: "TPM2_DictionaryAttackLockReset",
	0x13a: "TPM2_DictionaryAttackParameters", 0x14e: "TPM2_NV_Read", 0x151: "TPM2_PolicySecret",
	0x153: "TPM2_Create", 0x157: "TPM2_Load", 0x15e: "TPM2_Unseal", 0x165: "TPM2_FlushContext",
	0x169: "TPM2_NV_ReadPublic", 0x16b: "TPM2_PolicyAuthValue", 0x173: "TPM2_ReadPublic",
	0x144: "TPM2_Startup", 0x145: "TPM2_Shutdown", 0x176: "TPM2_StartAuthSession",
	0x17a: "TPM2_GetCapability", 0x17b: "TPM2_GetRandom", 0x18a: "TPM2_TestParms", 0x138: "TPM2_NV_WriteLock",
	0x17e: "TPM2_PCR_Read",
	0x17f: "TPM2_PolicyPCR", 0x182: "TPM2_PCR_Extend", 0x13c: "TPM2_PCR_Event",
}

// CommandName returns the specification's name of a command, e.g.
// "TPM2_EvictControl" or "TPM_ForceClear"; tests stop or fail commands by it.
func CommandName(cmd []byte) string {
	if len(cmd) < headerLen {
		return "TPM command"
	}
	code := binary.BigEndian.Uint32(cmd[6:])
	prefix, names := "TPM2_", v2Names
	if cmd[0] == 0 { // TPM 1.2: tags 0x00c1 to 0x00c3
		prefix, names = "TPM_", v1Names
	}
	if n, ok := names[code]; ok {
		return n
	}
	return fmt.Sprintf("%s0x%x", prefix, code)
}
