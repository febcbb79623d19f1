import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { generateSigningSecret, parseSigningSecret } from './secrets.js';
import { sign } from './sign.js';

/** Receivers are written in other languages: what is signed here is verified there, with what is installed there. */

const python = runs('python3', ['--version']);
const pythonLibrary = python && runs('python3', ['-c', 'import standardwebhooks']);
const go = runs('go', ['version']);

describe('in Python', () => {
  const title = !python
    ? 'NOT RUN: python3 is not installed'
    : pythonLibrary
      ? 'the reference library verifies v1'
      : 'the standard library verifies v1 (NOT RUN with the reference library: pip package standardwebhooks is not installed)';
  it(title, () => {
    if (!python) return;
    const { env } = signedNow();
    const script = pythonLibrary ? PYTHON_REFERENCE : PYTHON_STANDARD;
    expect(run('python3', ['-c', script], env)).toBe('verified');
    expect(run('python3', ['-c', script], { ...env, BODY: '{}' })).not.toBe('verified');
  });
});

describe('in Go', () => {
  it(
    go ? 'the standard library verifies v1 and v1a' : 'NOT RUN: go is not installed',
    () => {
      if (!go) return;
      const folder = mkdtempSync(join(tmpdir(), 'posthorn-verify-'));
      try {
        writeFileSync(join(folder, 'main.go'), GO_STANDARD);
        const verifier = join(folder, 'verifier');
        run('go', ['build', '-o', verifier, join(folder, 'main.go')], { GO111MODULE: 'off' });
        const { env } = signedNow();
        expect(run(verifier, [], env)).toBe('v1 true v1a true');
        expect(run(verifier, [], { ...env, BODY: '{}' })).toBe('v1 false v1a false');
      } finally {
        rmSync(folder, { recursive: true });
      }
    },
    180_000,
  );
});

function signedNow() {
  const symmetric = generateSigningSecret();
  const asymmetric = parseSigningSecret(generateSigningSecret('v1a'));
  const body = '{"name":"Zoë","amount":12.50}';
  const timestampSeconds = Math.floor(Date.now() / 1000);
  const secrets = [parseSigningSecret(symmetric), asymmetric];
  const env = {
    SECRET: symmetric,
    PUBLIC_KEY: asymmetric.publicKey ?? '',
    ID: 'evt_1',
    TIMESTAMP: String(timestampSeconds),
    SIGNATURE: sign(secrets, { id: 'evt_1', timestampSeconds, body }),
    BODY: body,
  };
  return { env };
}

function run(command: string, args: string[], env: Record<string, string>): string {
  return execFileSync(command, args, {
    env: { ...process.env, PYTHONUTF8: '1', ...env },
    encoding: 'utf8',
  }).trim();
}

function runs(command: string, args: string[]): boolean {
  try {
    execFileSync(command, args, { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

const PYTHON_STANDARD = `
import base64, hashlib, hmac, os
e = os.environ
key = base64.b64decode(e["SECRET"][len("whsec_"):], validate=True)
signed = (e["ID"] + "." + e["TIMESTAMP"] + "." + e["BODY"]).encode()
want = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
print("verified" if any(hmac.compare_digest(s, want) for s in e["SIGNATURE"].split(" ")) else "refused")
`;

const PYTHON_REFERENCE = `
import os
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
e = os.environ
headers = {"webhook-id": e["ID"], "webhook-timestamp": e["TIMESTAMP"], "webhook-signature": e["SIGNATURE"]}
try:
    Webhook(e["SECRET"]).verify(e["BODY"], headers)
    print("verified")
except WebhookVerificationError:
    print("refused")
`;

const GO_STANDARD = `
package main

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"os"
	"strings"
)

func main() {
	signed := []byte(os.Getenv("ID") + "." + os.Getenv("TIMESTAMP") + "." + os.Getenv("BODY"))
	key, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(os.Getenv("SECRET"), "whsec_"))
	public, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(os.Getenv("PUBLIC_KEY"), "whpk_"))
	mac := hmac.New(sha256.New, key)
	mac.Write(signed)
	v1, v1a := false, false
	for _, signature := range strings.Split(os.Getenv("SIGNATURE"), " ") {
		version, text, _ := strings.Cut(signature, ",")
		bytes, _ := base64.StdEncoding.DecodeString(text)
		v1 = v1 || version == "v1" && hmac.Equal(bytes, mac.Sum(nil))
		v1a = v1a || version == "v1a" && ed25519.Verify(public, signed, bytes)
	}
	fmt.Println("v1", v1, "v1a", v1a)
}
`;
