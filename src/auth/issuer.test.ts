import { describe, expect, it } from '@jest/globals';
import { checkIssuer, configurationUrl } from './issuer.js';

describe('an issuer', () => {
  it.each([
    'https://login.example.com',
    'https://login.example.com/',
    'https://login.example.com/realms/a',
    'http://127.0.0.1:9000',
    'http://127.9.9.9/x',
    'http://localhost:9000/realm',
    'http://[::1]:9000',
  ])('may be %s', (issuer) => {
    expect(() => checkIssuer(issuer)).not.toThrow();
  });

  it.each([
    'http://login.example.com',
    'http://localhost.example.com',
    'http://10.0.0.1',
    'http://[2001:db8::1]',
    'http://[::ffff:8.8.8.8]',
    'ftp://127.0.0.1',
    'login.example.com',
    '',
    'https://login.example.com/?a=b',
    'https://login.example.com/#a',
    'https://user:password@login.example.com',
    ' https://login.example.com',
    'javascript:alert(1)',
  ])('may not be %j', (issuer) => {
    expect(() => checkIssuer(issuer)).toThrow(/must /);
  });

  it('tells what it is below its own path', () => {
    expect(configurationUrl('https://a.example')).toBe('https://a.example/.well-known/openid-configuration');
    expect(configurationUrl('https://a.example/b/')).toBe(
      'https://a.example/b/.well-known/openid-configuration',
    );
  });
});
