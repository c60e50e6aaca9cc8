/* Prints what libccid tells a reader and a card before the first command, for the table in libccid.txt.
 *
 * It stands in for libccid's commands.c and its USB part. With libccid's source (5de6a96) and the headers of
 * libpcsclite and libusb, and a config.h that defines BUNDLE, PCSCLITE_HP_DROPDIR and NO_LOG:
 *   cc -include config.h -I src -I src/towitoko -I src/openct libccid.c src/ifdhandler.c src/utils.c src/debug.c \
 *      src/towitoko/atr.c src/towitoko/pps.c src/openct/{buffer,checksum,proto-t1}.c
 * What the linker then misses is never called (-Wl,--defsym=NAME=0). Lines with the same second half are joined. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <stdbool.h>
#include <pcsclite.h>
#include <ifdhandler.h>
#include "misc.h"
#include "defs.h"
#include "ccid.h"
#include "utils.h"
#include "commands.h"
#include "ccid_ifdhandler.h"

static char did[256];
static unsigned char last[300]; static unsigned lastn;
RESPONSECODE CCID_Transmit(CcidDesc *r, unsigned int n, const unsigned char b[], unsigned short a, unsigned char c)
{
	memcpy(last, b, n); lastn = n;
	if (b[0] == 0xff) sprintf(did + strlen(did), "P%02x%02x,", b[1], b[1] & 0x10 ? b[2] : 0x11);
	else if (b[1] == 0xc1) sprintf(did + strlen(did), "I%02x,", b[3]);
	else strcat(did, "?,");
	return IFD_SUCCESS;
}
RESPONSECODE CCID_Receive(CcidDesc *r, unsigned int *n, unsigned char b[], unsigned char *c)
{
	if (last[0] != 0xff) { last[1] |= 0x20; last[lastn-1] ^= 0x20; }
	memcpy(b, last, lastn); *n = lastn;
	return IFD_SUCCESS;
}
RESPONSECODE SetParameters(CcidDesc *r, char p, unsigned int n, unsigned char b[])
{
	sprintf(did + strlen(did), "S%02x", b[0]);
	if (p != 1 || n != 7 || memcmp(b + 1, "\x10\x00\x45\x00\xfe\x00", 6)) strcat(did, "!");
	strcat(did, ",");
	return IFD_SUCCESS;
}
int set_read_timeout(CcidDesc *r, int t) { return 0; }
int isCharLevel(CcidDesc *r) { return false; }

static unsigned table[] = { 10752, 21505, 43011, 86022, 172043, 344086, 125000, 250000, 62500, 0 };
static struct { unsigned clock, max; unsigned *list; } rates[] = {
	{ 4000, 344086, NULL }, { 4000, 344086, table }, { 3580, 9624, NULL }, { 4800, 154839, NULL } };

int main(void)
{
	static CcidDesc d; static CcidDesc *slots[1] = { &d };
	extern CcidDesc **CcidSlots; extern int ccid_driver_max_readers;
	CcidSlots = slots; ccid_driver_max_readers = 1;
	static int auto_[] = { 0, 0x40, 0x80, 0xc0 }, level[] = { 0x10000, 0x20000, 0x40000 }, ifsd[] = { 0, 0x400 };
	static int ta2[] = { -1, 0x01, 0x11, 0x00 };
	for (int l = 0; l < 3; l++) for (int f = 0; f < 2; f++) for (int a = 0; a < 4; a++)
	for (int t2 = 0; t2 < 4; t2++) for (int first = 0; first < 2; first++) for (unsigned r = 0; r < 4; r++) {
		printf("%05x/%d/%d/%d;", level[l] | ifsd[f] | auto_[a], ta2[t2], first, r);
		char before[256] = ""; int from = -1;
		for (int ta1 = -1; ta1 <= 256; ta1++) {
			if (ta1 < 256) {
			unsigned char b[33]; int n = 0;
			memset(&d, 0, sizeof d);
			d.lun = 0; d.readerName = "x";
			d.device.ccid.dwFeatures = level[l] | ifsd[f] | auto_[a];
			d.device.ccid.dwProtocols = 3; d.device.ccid.dwMaxIFSD = 254;
			d.device.ccid.dwDefaultClock = rates[r].clock; d.device.ccid.dwMaxDataRate = rates[r].max;
			d.device.ccid.arrayOfSupportedDataRates = rates[r].list;
			t1_init(&d.t1, 0);
			/* T0 (TA1) TD1, [TA2] TD2, TA3 TB3: */
			b[n++] = 0x3b;
			b[n++] = 0x80 | (ta1 >= 0 ? 0x10 : 0);
			if (ta1 >= 0) b[n++] = ta1;
			b[n++] = 0x80 | (ta2[t2] >= 0 ? 0x10 : 0) | (first ? 1 : 0);
			if (ta2[t2] >= 0) b[n++] = ta2[t2];
			b[n++] = 0x31; b[n++] = 0xfe; b[n++] = 0x45;
			unsigned char x = 0; for (int i = 1; i < n; i++) x ^= b[i];
			b[n++] = x;
			memcpy(d.pcATRBuffer, b, n); d.nATRLength = n;
			did[0] = 0;
			RESPONSECODE rv = IFDHSetProtocolParameters(0, SCARD_PROTOCOL_T1, 0, 0, 0, 0);
			if (rv != IFD_SUCCESS) strcpy(did, "refused");
			/* its own speed is written = */
			} else strcpy(did, "end");
			char out[256] = ""; 
			for (char *p = did; *p; ) {
				char own[3]; sprintf(own, "%02x", ta1 & 255);
				if ((*p == 'S' || *p == 'P') ) {
					int k = *p == 'S' ? 1 : 3; 
					strncat(out, p, k); 
					if (ta1 >= 0 && !strncmp(p+k, own, 2)) strcat(out, "=="); else strncat(out, p+k, 2);
					p += k+2;
				} else { strncat(out, p, 1); p++; }
			}
			if (strcmp(out, before)) {
				if (from >= -1 && ta1 > -1) printf(" %02x:%s", from, before[0] ? before : "-");
				strcpy(before, out); from = ta1;
			}
		}
		printf("\n");
	}
	fflush(stdout);
	_exit(0);
}
