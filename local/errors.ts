import { NgbakError } from '../shared/core/errors.ts';

/** A part of the local stack can't be installed, started or reached. */
export class LocalStackError extends NgbakError {}

/** This machine lacks programs that the local stack needs. The message has one line for each. */
export class MissingPrerequisiteError extends NgbakError {}
