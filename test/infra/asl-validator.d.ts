/** The part of asl-validator that we use; the package brings no types. */
declare module 'asl-validator' {
  export default function validate(definition: object): {
    isValid: boolean;
    errorsText(separator: string): string;
  };
}
