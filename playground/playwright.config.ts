import { execFileSync } from 'node:child_process';
import { defineConfig } from '@playwright/test';

/** The system's Chromium; no browser is downloaded. */
function chromium(): string {
  const names = ['chromium', 'chromium-browser', 'google-chrome'];
  const script = names.map((name) => `command -v ${name}`).join(' || ');
  return execFileSync('sh', ['-c', script], { encoding: 'utf8' }).trim();
}

export default defineConfig({
  testDir: 'tests',
  testMatch: process.env['SCREENSHOTS'] ? 'screenshots.ts' : '*.spec.ts',
  outputDir: '../target/playground-tests',
  reporter: 'list',
  forbidOnly: true,
  // Machines that build beside it are slow.
  timeout: 100_000,
  expect: { timeout: 30_000 },
  workers: 2,
  use: {
    launchOptions: { executablePath: chromium(), args: ['--no-sandbox'] },
    viewport: { width: 1440, height: 900 },
    screenshot: 'only-on-failure',
  },
});
