import { type ArgumentMetadata, Injectable, type PipeTransform } from '@nestjs/common';
import { type FieldError, Problem } from '../common/problems.js';

interface Issue {
  message: string;
  path?: readonly (PropertyKey | { key: PropertyKey })[] | undefined;
  code?: string;
  keys?: string[];
  issues?: readonly Issue[];
}

/** Validates what a route declares a schema for, and points at every field that is wrong. */
@Injectable()
export class SchemaPipe implements PipeTransform {
  async transform(value: unknown, metadata: ArgumentMetadata): Promise<unknown> {
    const { schema } = metadata;
    if (!schema) return value;
    // No body is an empty one: a route whose fields are all optional may be called without any.
    const given = value === undefined && metadata.type === 'body' ? {} : value;
    const result = await schema['~standard'].validate(given);
    if (!result.issues) return result.value;
    const pointerTo = metadata.type === 'query' ? (path: string[]) => `?${path.join('.')}` : toPointer;
    return refuseFields(
      (result.issues as readonly Issue[]).flatMap((issue) => toFieldErrors(issue, pointerTo)),
    );
  }
}

/** @throws Problem `validation_failed` */
export function refuseFields(errors: FieldError[]): never {
  const [first] = errors;
  const where = first === undefined || first.pointer === '' ? 'The body' : first.pointer;
  throw new Problem('validation_failed', `${where}: ${first?.detail ?? 'is not valid'}`, {
    errors: errors.slice(0, 50),
  });
}

/** RFC 6901. */
const toPointer = (path: string[]): string =>
  path.map((part) => `/${part.replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');

/** What an issue of a schema says, with a pointer to what it says it of. */
export function toFieldErrors(issue: Issue, pointer: (path: string[]) => string): FieldError[] {
  const path = (issue.path ?? []).map((part) => String(typeof part === 'object' ? part.key : part));
  if (issue.code === 'unrecognized_keys') {
    return (issue.keys ?? []).map((key) => ({
      pointer: pointer([...path, key]),
      detail: 'there is no such field',
    }));
  }
  // What is wrong with a record's key is told one level down.
  const detail = issue.code === 'invalid_key' ? (issue.issues?.[0]?.message ?? issue.message) : issue.message;
  return [{ pointer: pointer(path), detail }];
}
