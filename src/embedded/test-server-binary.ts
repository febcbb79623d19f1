import { chmod, mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cacheFolder, fillCache, firstThatWorks, isExecutable, type Tried } from './binary-cache.js';
import { EmbeddedError } from './embedded-error.js';
import { longStep, type Progress, runCommand } from './long-step.js';
import { officialDownload } from './official-download.js';

const VERSION = '1.32.1';
const PROGRAM = 'temporal-test-server';
const CACHE_ENTRY = `temporal-test-server-${VERSION}-${process.platform}-${process.arch}`;
const COPY_DEPENDENCIES = 'org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies';
const MAVEN_TIMEOUT_MS = 900_000;
const OLDEST_JAVA = 11;

/** `@temporalio/testing` gives the server five seconds to answer, so the virtual machine is told to start fast, not to run long. */
const WRAPPER = `#!/bin/sh
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
exec java -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xshare:auto -Xmx512m -cp "$here/lib/*" io.temporal.testserver.TestServer "$1"
`;

/**
 * The path of a time-skipping test server: named, cached, downloaded, or put together by Maven.
 *
 * @throws EmbeddedError `test_server_not_found`, which says what was tried and what to install
 */
export async function findTestServer(progress: Progress): Promise<string> {
  const named = process.env.POSTHORN_TEMPORAL_TEST_SERVER;
  if (named) {
    if (await isExecutable(named)) return named;
    throw new EmbeddedError(
      'test_server_not_found',
      `POSTHORN_TEMPORAL_TEST_SERVER=${named} is not a program that can be run`,
    );
  }
  const found = await firstThatWorks([
    { name: `the cache ${cacheFolder()}`, get: cached },
    { name: 'the official download', get: () => downloaded(progress) },
    { name: `Maven's io.temporal:temporal-test-server:${VERSION}`, get: () => assembled(progress) },
  ]);
  if ('path' in found) return found.path;
  throw new EmbeddedError('test_server_not_found', nothingWorked(found.tried));
}

async function cached(): Promise<string | undefined> {
  const path = join(cacheFolder(), CACHE_ENTRY, PROGRAM);
  return (await isExecutable(path)) ? path : undefined;
}

async function downloaded(progress: Progress): Promise<string> {
  return fillCache(CACHE_ENTRY, PROGRAM, progress, async (draft) => {
    const file = await officialDownload('test-server', 'default', draft, progress);
    await rename(file, join(draft, PROGRAM));
    await chmod(join(draft, PROGRAM), 0o755);
  });
}

async function assembled(progress: Progress): Promise<string> {
  await requireJava();
  return fillCache(CACHE_ENTRY, PROGRAM, progress, async (draft) => {
    const lib = join(draft, 'lib');
    await mkdir(lib);
    const pom = join(draft, 'pom.xml');
    await writeFile(pom, POM);
    await longStep(progress, "getting Temporal's test server with Maven (this one time)", async () => {
      try {
        const args = [
          '-B',
          '-q',
          '-f',
          pom,
          COPY_DEPENDENCIES,
          `-DoutputDirectory=${lib}`,
          '-DincludeScope=runtime',
        ];
        await runCommand('mvn', args, { timeoutMs: MAVEN_TIMEOUT_MS, cwd: draft });
      } catch (error) {
        throw (error as NodeJS.ErrnoException).code === 'ENOENT'
          ? new Error('Maven is not installed')
          : error;
      }
    });
    await writeFile(join(draft, PROGRAM), WRAPPER);
    await chmod(join(draft, PROGRAM), 0o755);
  });
}

async function requireJava(): Promise<void> {
  const output = await runCommand('java', ['-version'], { timeoutMs: 30_000 }).catch(() => '');
  const version = /version "(?:1\.)?(\d+)/.exec(output)?.[1];
  if (version === undefined) throw new Error('Java is not installed');
  if (Number(version) < OLDEST_JAVA)
    throw new Error(`Java ${version} is too old; ${OLDEST_JAVA} or newer is needed`);
}

const POM = `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>posthorn</groupId><artifactId>test-server</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>io.temporal</groupId><artifactId>temporal-test-server</artifactId><version>${VERSION}</version>
    </dependency>
  </dependencies>
</project>
`;

const nothingWorked = (tried: readonly Tried[]): string =>
  [
    'no time-skipping Temporal test server, which the workflow tests need, was found or could be got:',
    ...tried.map(({ name, reason }) => `  - ${name}: ${reason}`),
    'Install Java 11 or newer and Maven, or set POSTHORN_TEMPORAL_TEST_SERVER to the path of a test server',
    '(https://github.com/temporalio/sdk-java/releases).',
  ].join('\n');
